"""`verification:`: the parity gate."""

from pydantic import Field

from cyclotrain.config.base import Section


class VerificationConfig(Section):
    """The parity gate: the exported files in ONNX Runtime and LibTorch against PyTorch."""

    tolerance: float = Field(
        1e-5,
        gt=0,
        description="Largest allowed absolute difference between probabilities. That of a regressed quantity is in units of the "
        "target's standard deviation in training, or of the quantity itself if it is larger.",
    )
    tf32_tolerance: float = Field(
        0.05,
        gt=0,
        description="The same where a GPU rounds the inputs of matrix products to TF32 (10 bits): ONNX Runtime's default on "
        "NVIDIA's Ampere and later, unless its option `use_tf32` is 0. Tested if there is a GPU.",
    )
