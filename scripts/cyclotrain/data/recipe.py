"""The part of the configuration that `assemble` depends on."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from cyclotrain.config import Config
from cyclotrain.contract import ALL
from cyclotrain.contract.splits import Fold


@dataclass(frozen=True)
class DatasetRecipe:
    """The part of the configuration that enters the contract, besides the recipes in the receipts."""

    run: str
    seed: int
    samples: list[str]
    classes: list[str]
    signal: str | None
    regression: list[dict[str, Any]]  # the fields of contract.Quantity, but what is fitted
    balance: str
    training_weights: str
    negative_weights: str
    flatten: dict[str, Any] | None
    other_inputs: bool  # than the parent's, whose weights the training begins with
    cross_sections: dict[str, float]
    luminosity: float
    skip_broken: float
    baseline_features: list[str]
    observers: list[dict[str, str]]  # the fields of contract.Observer
    split: dict[str, float]
    fold: dict[str, Any] | None
    event_id: list[str] | Literal["entry"]

    @classmethod
    def from_config(cls, config: Config, *, fold: int | None) -> "DatasetRecipe":
        """The recipe in a whole configuration; `fold`: the index of the fold in a cross-training, else None."""
        split, fold_fields = config.split, None
        if fold is not None:
            assert config.folds
            fold_fields = asdict(Fold(fold, config.folds, split.validation / (split.train + split.validation)))
        return cls(
            run=config.run if fold is None else f"{config.run}-fold{fold}",
            seed=config.seed,
            samples=config.nominal_samples,
            classes=config.classes,
            signal=config.signal,
            regression=[{"name": name, **quantity.model_dump()} for name, quantity in config.regression.items()],
            balance=config.balance,
            training_weights=config.training.weights,
            negative_weights=config.negative_weights,
            flatten=config.flatten.model_dump() if config.flatten else None,
            other_inputs=config.training.other_inputs,
            cross_sections={
                name: sample.cross_section
                for name, sample in config.samples.items()
                if sample.cross_section and name in config.nominal_samples
            },
            luminosity=config.luminosity,
            skip_broken=config.skip_broken,
            baseline_features=list(config.baseline_features),
            observers=[
                {"name": name, "expression": observer.expression or name, "label": observer.label or name}
                for name, observer in config.observers.items()
            ],
            split=split.model_dump(),
            fold=fold_fields,
            event_id=config.event_id,
        )

    @property
    def groups(self) -> list[str]:
        """The classes, or one group of all examples."""
        return self.classes or [ALL]

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a rule's `params`."""
        return asdict(self)
