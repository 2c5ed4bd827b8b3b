"""`python -m cyclotrain figures`: the figures that a run measures, for `gates` of the config."""

from collections.abc import Iterator
from pathlib import Path

from cyclotrain.config import load
from cyclotrain.config.gates import names
from cyclotrain.contract.figures import fitting
from cyclotrain.core.yaml_files import read_yaml


def listed(path: Path) -> Iterator[str]:
    """A line for each figure of a config, with its bounds."""
    config = load(read_yaml(path))
    known = list(names(config))
    width = max(map(len, known))
    for name in known:
        bounds = [bound for pattern, texts in config.gates.items() if fitting(pattern, [name]) for bound in texts]
        yield f"{name:{width}}  {' and '.join(bounds)}".rstrip()
