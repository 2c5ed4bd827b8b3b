"""`verification:`: the parity gate."""

from pydantic import Field

from cyclotrain.config.base import Section


class VerificationConfig(Section):
    """The parity gate: ONNX Runtime against PyTorch."""

    tolerance: float = Field(1e-5, gt=0, description="Largest absolute difference of a probability that passes.")
    tf32_tolerance: float = Field(
        0.05,
        gt=0,
        description="The same where a GPU rounds what matrix products take to TF32 (10 bits), as ONNX Runtime does on NVIDIA's "
        "Ampere and later unless it is told `use_tf32: 0`. Tried where there is a GPU.",
    )
