"""Mean and standard deviation of the figures of several models: the metrics of the parent of folds or seeds."""

import statistics
from collections.abc import Mapping, Sequence


def spread(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the models that have it, and as `spread.<figure>` its standard deviation (n - 1)."""
    values: dict[str, list[float]] = {}
    for of_model in figures:
        for name, value in of_model.items():
            values.setdefault(name, []).append(value)
    means = {name: statistics.fmean(all_values) for name, all_values in values.items()}
    return means | {f"spread.{name}": statistics.stdev(xs) for name, xs in values.items() if len(xs) > 1}
