"""One temperature for the logits of all examples, fitted on the validation split (Guo et al., arXiv:1706.04599)."""

import logging
import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from cyclotrain.core.logs import SHOW
from cyclotrain.data.batches import Batches
from cyclotrain.networks.registry import Model

_LARGEST = 100.0  # of the temperature and of its inverse
_log = logging.getLogger(__name__)

Doubles = npt.NDArray[np.float64]


def temperature_of(model: Model, validation: Batches, *, n_classes: int) -> float:
    """The temperature of a trained model, in evaluation mode, on all examples of the validation split."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [
            (model(batch.branches)[:, :n_classes].double().cpu(), batch.label.cpu(), batch.weight.double().cpu())
            for batch in validation
        ]
    logits, label, weight = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    temperature = fitted_temperature(logits, label, weight=weight)
    before, after = (negative_log_likelihood(logits / t, label, weight=weight) for t in (1.0, temperature))
    _log.info(
        "temperature %.4f, fitted on the validation split on %s: cross-entropy %.5f, before %.5f",
        temperature, device, after, before, extra=SHOW,
    )  # fmt: skip
    return temperature


def fitted_temperature(logits: Doubles, label: npt.NDArray[np.integer], *, weight: Doubles) -> float:
    """The temperature between 1/100 and 100 with the lowest weighted cross-entropy of logits [n, n_classes] divided by it.

    Raises ValueError if the sum of weights is not positive.
    """
    if weight.sum() <= 0:
        raise ValueError("training.calibrate: the sum of weights of the validation split is not positive; use 'calibrate: none'")

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(logits * math.exp(-logarithm), label, weight=weight)

    bound = math.log(_LARGEST)
    return math.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-7}).x)


def negative_log_likelihood(logits: Doubles, label: npt.NDArray[np.integer], *, weight: Doubles) -> float:
    """The weighted mean cross-entropy."""
    log_likelihood = log_softmax(logits, axis=1)[np.arange(len(label)), label]
    return -float(weight @ log_likelihood) / float(weight.sum())
