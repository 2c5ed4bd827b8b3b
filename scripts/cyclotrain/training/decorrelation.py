"""A term of the loss that keeps the score of background independent of an observer: DisCo, arXiv:2001.05310."""

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batch
from cyclotrain.data.shards import Examples
from cyclotrain.metrics.distance_correlation import distance_correlation
from cyclotrain.metrics.roc import discriminant

_LARGEST = 4096  # background examples of a class that are correlated: their distances take 270 MB
_LARGEST_VALIDATION = 100_000  # without a matrix of distances
_log = logging.getLogger(__name__)

Floats = npt.NDArray[np.floating]


class Decorrelation:
    """The squared distance correlation of an observer with the probability of the signal, times its strength.

    It is measured over the examples of one background class, by p_signal / (p_signal + p_background), and averaged over these
    classes. Examples whose observer is not finite are left out.
    """

    def __init__(self, decorrelate: config.DecorrelateConfig, contract: Contract) -> None:
        self._name, self._strength = decorrelate.observer, decorrelate.strength
        expression = next(one.expression for one in contract.observers if one.name == decorrelate.observer)
        self.column = contract.layout.observers.index(expression)
        self._signal = contract.signal_index
        self._backgrounds = {i: name for i, name in enumerate(contract.classes) if i != self._signal}

    def check(self, examples: Examples) -> None:
        """Log how many background examples of the training split are left out.

        Raises InputError if the observer is never finite for a class, or the same for all of its examples.
        """
        values = examples.observers[:, self.column]
        is_finite, key = np.isfinite(values), f"training.decorrelate.observer: '{self._name}'"
        for index, name in self._backgrounds.items():
            of_class = values[is_finite & (examples.label == index)]
            if not len(of_class):
                raise InputError(f"{key} is NaN or infinite for all training examples of class '{name}'; use another expression")
            if np.ptp(of_class) == 0:
                raise InputError(
                    f"{key} is {of_class[0]:g} for all training examples of class '{name}', so no score can depend on it; use "
                    "another observer, or remove 'decorrelate'"
                )
        is_background = examples.label != self._signal
        if left_out := int((is_background & ~is_finite).sum()):
            _log.warning(
                "%s is not finite for %d of %d background examples; the decorrelation leaves them out",
                key, left_out, is_background.sum(),
            )  # fmt: skip

    def of_batch(self, raw_BK: Tensor, batch: Batch) -> Tensor:
        """The term of a part of a batch, from the logits in its first columns."""
        logits_BK, observer_B = raw_BK.float(), batch.observers[:, self.column]
        parts = []
        for index in self._backgrounds:
            rows = torch.nonzero((batch.label == index) & torch.isfinite(observer_B)).squeeze(-1)
            rows = rows[:: max(1, -(-len(rows) // _LARGEST))]
            score_B = torch.sigmoid(logits_BK[rows, self._signal] - logits_BK[rows, index])
            parts.append(squared_distance_correlation(observer_B[rows], score_B, batch.weight[rows]))
        return self._strength * torch.stack(parts).mean()

    def of_split(self, probabilities: Floats, observer: Floats, *, label: npt.NDArray[np.integer], weight: Floats) -> float:
        """The term of a whole split, from probabilities [n, n_classes]; of at most 100,000 examples of a class."""
        return self._strength * float(np.mean(list(self._squares(probabilities, observer, label, weight))))

    def _squares(
        self, probabilities: Floats, observer: Floats, label: npt.NDArray[np.integer], weight: Floats
    ) -> Iterator[float]:
        for index in self._backgrounds:
            rows = np.flatnonzero((label == index) & np.isfinite(observer))
            rows = rows[:: max(1, -(-len(rows) // _LARGEST_VALIDATION))]
            score = discriminant(probabilities[rows], self._signal, [index])
            measured = distance_correlation(observer[rows], score, weight=weight[rows])
            yield (measured.value or 0.0) ** 2


def squared_distance_correlation(observer_B: Tensor, score_B: Tensor, weight_B: Tensor) -> Tensor:
    """The square of metrics.distance_correlation, with a gradient for the score; 0 where it is not defined.

    It takes memory for four numbers a pair of examples.
    """
    if len(score_B) < 2 or weight_B.sum() <= 0:
        return score_B.sum() * 0.0
    with torch.autocast(score_B.device.type, enabled=False):  # sums of products in 16 bits have no meaning here
        w_B = weight_B / weight_B.sum()
        with torch.no_grad():
            x_B = _standardised(observer_B, observer_B)
            a_BB = (x_B[:, None] - x_B).abs()
            mean_B = a_BB @ w_B
            a_BB -= mean_B[:, None] + mean_B - w_B @ mean_B
            variance_x = w_B @ a_BB**2 @ w_B
        y_B = _standardised(score_B, score_B.detach())
        b_BB = (y_B[:, None] - y_B).abs()
        mean_B = b_BB @ w_B
        # the rows and columns of a have the mean 0, so b need not be centred
        covariance = w_B @ (a_BB * b_BB) @ w_B
        variance_y = 2 * (w_B @ y_B**2 - (w_B @ y_B) ** 2) - 2 * (w_B @ mean_B**2) + (w_B @ mean_B) ** 2
        scale = variance_x * variance_y
        is_defined = (variance_x > 0) & (variance_y > 0)
        return torch.where(is_defined, covariance / torch.where(is_defined, scale, 1.0).sqrt(), 0.0)


def _standardised(values_B: Tensor, by_B: Tensor) -> Tensor:
    """Values in units that do not round off; the correlation does not depend on them, so they need no gradient."""
    return (values_B - by_B.mean()) / by_B.std().clamp(min=torch.finfo(by_B.dtype).tiny)
