"""The learning rate of each step."""

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from cyclotrain.config import TrainingConfig

_FLAT = 0.7  # share of the steps after the warm-up
_LAST = 0.01  # of the largest rate, as in weaver's `flat+decay`


def make_schedule(optimizer: Optimizer, training: TrainingConfig, steps: int) -> LRScheduler | None:
    """The schedule over `steps` steps of the optimiser; None if a cycle has too few for a rise and a fall.

    one_cycle: Smith, Topin 2017, https://arxiv.org/abs/1708.07120.
    """
    if training.schedule != "one_cycle":
        factor = partial(rate_factor, schedule=training.schedule, warmup=training.warmup, steps=steps)
        return LambdaLR(optimizer, factor)
    if steps < 3:
        return None
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        # the rise takes at least one step: OneCycleLR divides by its length
        pct_start=max(training.warmup, 2 / steps),
        # of AdamW's first moment; other optimisers use theirs in other ways
        cycle_momentum=training.optimizer == "adamw",
    )


def rate_factor(step: int, *, schedule: str, warmup: float, steps: int) -> float:
    """The learning rate of a step, counted from 0, as a part of the largest; the warm-up is linear."""
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / max(1, steps - rise)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    if schedule == "flat_then_decay":
        return float(_LAST ** max(0.0, (done - _FLAT) / (1 - _FLAT)))
    return 1.0  # constant
