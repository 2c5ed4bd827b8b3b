"""`split:`: the shares of the three splits."""

from pydantic import Field, model_validator

from cyclotrain.config.base import Section


class SplitConfig(Section):
    """Shares of the three splits; their sum is 1."""

    train: float = Field(0.6, gt=0, lt=1, description="Share of events for training.")
    validation: float = Field(0.1, gt=0, lt=1, description="Share of events for choosing the best epoch.")
    test: float = Field(0.3, gt=0, lt=1, description="Share of events for measuring the performance.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "SplitConfig":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}, not 1")
        return self
