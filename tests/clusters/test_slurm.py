"""The demo at test size, whole, on a real Slurm. make test-clusters"""

from pathlib import Path

from servers import Slurm
from sites import SLURM, demo, finished, needs_clusters

from conftest import Workflow

pytest_plugins = ["sites"]
pytestmark = needs_clusters


def test_the_demo_on_slurm(slurm: Slurm, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(demo(), *SLURM, **slurm.environment)
    finished(workflow, at_home)
