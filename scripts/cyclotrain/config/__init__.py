"""The configuration: one typed model.

`cyclotrain.config.docs` (`make docs`) generates the schema, `config/README.md` and the comments of `config/config.yaml` from it.
"""

from cyclotrain.config.base import ConfigError
from cyclotrain.config.config import Config
from cyclotrain.config.decorrelate import DecorrelateConfig
from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.config.export import VARIANT_KINDS, ExportConfig, VariantKind
from cyclotrain.config.inputs import InputSetConfig
from cyclotrain.config.loading import inner_model, keys, load
from cyclotrain.config.model import ModelConfig
from cyclotrain.config.regression import QuantityConfig
from cyclotrain.config.training import TrainingConfig

__all__ = [
    "VARIANT_KINDS", "Config", "ConfigError", "DecorrelateConfig", "EvaluationConfig", "ExportConfig", "InputSetConfig",
    "ModelConfig", "QuantityConfig", "TrainingConfig", "VariantKind", "inner_model", "keys", "load",
]  # fmt: skip
