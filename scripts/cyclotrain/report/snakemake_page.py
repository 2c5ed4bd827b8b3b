"""Snakemake's own report of a run, as one HTML file."""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cyclotrain.core.files import atomic

_log = logging.getLogger(__name__)


def write_page(snakefile: str | Path, config: Mapping[str, Any], path: str | Path) -> None:
    """Write the report of what the run has made so far; raises RuntimeError with Snakemake's words if it cannot.

    A Snakemake of its own makes it from the same configuration, while the one that called it holds the lock.
    """
    with tempfile.TemporaryDirectory() as name:
        configfile, page = Path(name) / "config.yaml", Path(name) / "report.html"
        configfile.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(configfile)]
        done = subprocess.run(
            [*command, "--report", str(page), "--nolock"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"snakemake --report failed:\n{done.stdout}")
        with atomic(path) as temporary:
            temporary.write_bytes(page.read_bytes())
    _log.info("%s: %.1f MB", path, Path(path).stat().st_size / 1e6)
