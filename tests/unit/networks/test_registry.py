"""Networks by name, also of the user."""

import pytest
import torch

from cyclotrain.config.model import NEEDS_CONSTITUENTS
from cyclotrain.networks.registry import BUILT_IN
from cyclotrain.networks.shapes import SetShape


def test_the_config_knows_every_built_in_network() -> None:
    assert set(NEEDS_CONSTITUENTS) == set(BUILT_IN), "add it to NEEDS_CONSTITUENTS in scripts/cyclotrain/config/model.py"


@pytest.mark.parametrize("name", BUILT_IN)
def test_padding_changes_nothing_and_an_empty_set_has_an_answer(name: str) -> None:
    torch.manual_seed(1)
    has_constituents = NEEDS_CONSTITUENTS[name]
    network = BUILT_IN[name]({"jet": SetShape(3, False), **({"pf": SetShape(4, True)} if has_constituents else {})}, 2).eval()
    mask = torch.arange(4) < torch.arange(5)[:, None]  # from none to four constituents
    jet, pf = torch.randn(5, 3), torch.where(mask.unsqueeze(-1), torch.randn(5, 4, 4), 0.0)
    padded, longer_mask = torch.nn.functional.pad(pf, (0, 0, 0, 3)), torch.nn.functional.pad(mask, (0, 3))
    answers = [
        network({"jet": jet, **({"pf": x} if has_constituents else {})}, {"pf": m} if has_constituents else {})
        for x, m in ((pf, mask), (padded, longer_mask))
    ]
    assert answers[0].shape == (5, 2) and torch.isfinite(answers[0]).all()
    torch.testing.assert_close(answers[1], answers[0])
