"""A network that takes 1.5 GB more from its seventh epoch on, in a job that asked for less."""

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cyclotrain.networks.deep_sets import DeepSets


class Hungry(DeepSets):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        defaults = {"phi": [100, 100, 128], "rho": [100, 100], "dropout": 0.0, "normalise": False, "residual": False}
        super().__init__(*arguments, **{**defaults, **options})
        self._steps, self._taken = 0, b""

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        if self.training:
            self._steps += 1
            if self._steps == 400 and not self._taken:
                self._taken = b"x" * 1_500_000_000
                time.sleep(30)  # HTCondor and Slurm look only now and then: it must not end before
        return super().forward(features, masks)
