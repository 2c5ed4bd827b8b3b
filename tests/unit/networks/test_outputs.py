"""The output layer: quantities in their units, quantiles in their order, probabilities beside them."""

import dataclasses

import pytest
import torch

from cyclotrain.networks.outputs import OutputLayer
from support.trained import Trained


def test_quantities_are_given_in_their_units(trained_to_regress: Trained) -> None:
    contract = trained_to_regress.contract
    raw = torch.randn(10, 7, generator=torch.Generator().manual_seed(1))
    probabilities, mass, far, ratio = OutputLayer(contract)(raw)
    torch.testing.assert_close(probabilities, raw[:, :2].softmax(-1))
    for output, columns, quantity in ((mass, slice(2, 3), 0), (far, slice(3, 4), 1), (ratio, slice(4, 7), 2)):
        fitted = contract.regression[quantity]
        expected = (raw[:, columns].double() * fitted.scale + fitted.offset).sort(-1).values
        torch.testing.assert_close(output.double(), expected, rtol=1e-6, atol=0)


def test_quantiles_never_cross(trained_to_regress: Trained) -> None:
    ratio = OutputLayer(trained_to_regress.contract)(torch.tensor([[0.0, 0.0, 0.0, 0.0, 3.0, -1.0, 2.0]]))[-1]
    assert (ratio.diff() > 0).all()


def test_a_model_of_classes_has_no_weights_for_outputs(trained: Trained) -> None:
    assert not [name for name in trained.model.load().state_dict() if name.startswith("outputs")]


def test_scale_and_offset_are_those_of_the_training_split(trained_to_regress: Trained) -> None:
    contract = trained_to_regress.contract
    far = contract.regression[1]
    assert far.offset == pytest.approx(6e6, rel=0.02) and far.scale == pytest.approx(2e6 / 12**0.5, rel=0.05)
    other = dataclasses.replace(contract, regression=(dataclasses.replace(far, offset=0.0, scale=1.0),))
    torch.testing.assert_close(OutputLayer(other)(torch.ones(1, 3))[1], torch.ones(1, 1))
