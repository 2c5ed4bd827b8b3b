"""How features are moved, to see where an answer depends on rounding."""

import torch

from cyclotrain.networks.features import Inputs
from cyclotrain.parity.cases import _moved


def test_features_move_in_their_last_bits_and_ties_at_zero_break() -> None:
    features = torch.tensor([[[0.0, 0.75], [0.0, 300.5], [0.0, -8.25]]])
    masks = {"pf": torch.tensor([[True, True, True]])}
    moved = _moved(Inputs({"pf": features}, masks, {}), seed=3).features["pf"]
    assert moved[0, :, 0].unique().numel() == 3
    assert ((moved - features).abs() <= 2.0**-21 * features.abs().clamp(min=1)).all()
    assert not torch.equal(moved, _moved(Inputs({"pf": features}, masks, {}), seed=4).features["pf"])


def test_padding_stays_zero_and_whole_numbers_stay_in_their_category() -> None:
    charges = torch.arange(-6.0, 7.0).reshape(1, -1, 1)
    mask = torch.arange(13).reshape(1, -1) < 10
    features = {"tracks": torch.where(mask.unsqueeze(-1), charges, 0.0), "jet": torch.tensor([[5.0, -211.0]])}
    for seed in range(20):
        moved = _moved(Inputs(features, {"tracks": mask}, {}), seed).features
        assert not moved["tracks"][0, 10:].any()
        for name, x in features.items():
            assert torch.equal(moved[name].trunc(), x)


def test_four_vectors_move_by_a_part_of_pt_and_energy_and_ties_of_angles_break() -> None:
    vectors = torch.tensor([[[1e-4, 0.0, 0.0, 1e-4], [500.0, 0.0, 0.0, 600.0], [1e-4, 0.0, 0.0, 1e-4]]])
    mask = torch.tensor([[True, True, False]])
    moved = _moved(Inputs({}, {"pf": mask}, {"pf": vectors}), seed=1).vectors["pf"]
    assert torch.equal(moved[0, 2], vectors[0, 2])
    torch.testing.assert_close(moved[..., [0, 3]], vectors[..., [0, 3]], rtol=2.0**-21, atol=0)
    angles = moved[0, :2, 1:3]
    assert angles.unique().numel() == 4 and angles.abs().max() <= 2.0**-21
