"""The built-in networks."""

from cyclotrain.config.model import NEEDS_CONSTITUENTS
from cyclotrain.networks.registry import BUILT_IN


def test_the_config_knows_every_built_in_network() -> None:
    assert set(NEEDS_CONSTITUENTS) == set(BUILT_IN), "add it to NEEDS_CONSTITUENTS in scripts/cyclotrain/config/model.py"
