"""What each rule that runs as a cluster job asks for: the one table, read by the rules and by the profiles."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Resources:
    """Memory and disk in MB, time in minutes: enough for the first try, and `attempt` times as much for those after it."""

    mem_mb: int
    disk_mb: int
    runtime: int


RESOURCES: Mapping[str, Resources] = {
    "simulate": Resources(mem_mb=1000, disk_mb=500, runtime=60),
    "skim": Resources(mem_mb=2000, disk_mb=4000, runtime=60),
    "assemble": Resources(mem_mb=2000, disk_mb=1000, runtime=60),
    "train": Resources(mem_mb=8000, disk_mb=4000, runtime=1440),
    "scan_learning_rates": Resources(mem_mb=8000, disk_mb=4000, runtime=120),
    "export": Resources(mem_mb=4000, disk_mb=500, runtime=30),
    "aot_inductor": Resources(mem_mb=6000, disk_mb=500, runtime=30),
    "torchscript": Resources(mem_mb=4000, disk_mb=500, runtime=30),
    "variant": Resources(mem_mb=4000, disk_mb=500, runtime=30),
    "verify": Resources(mem_mb=5000, disk_mb=2000, runtime=120),
    "baseline": Resources(mem_mb=4000, disk_mb=500, runtime=60),
    "predict": Resources(mem_mb=3000, disk_mb=500, runtime=60),
    "predict_other": Resources(mem_mb=3000, disk_mb=500, runtime=60),
    "predict_compared": Resources(mem_mb=3000, disk_mb=500, runtime=60),
    "evaluate": Resources(mem_mb=2000, disk_mb=500, runtime=60),
    "describe_inputs": Resources(mem_mb=2000, disk_mb=500, runtime=60),
    "compare_data": Resources(mem_mb=4000, disk_mb=500, runtime=60),
    "importance": Resources(mem_mb=4000, disk_mb=500, runtime=120),
    "systematics": Resources(mem_mb=4000, disk_mb=500, runtime=120),
    "time_model": Resources(mem_mb=4000, disk_mb=500, runtime=30),
    "reference_vectors": Resources(mem_mb=4000, disk_mb=500, runtime=30),
    "score_file": Resources(mem_mb=2000, disk_mb=2000, runtime=120),
}


def resources_of(rule: str) -> dict[str, int]:
    """A rule's resources in Snakemake's words; raises ValueError for a rule that is not in the table."""
    if rule not in RESOURCES:
        raise ValueError(f"rule '{rule}' is not in the table RESOURCES of {__name__}: add its memory, disk and time there")
    return asdict(RESOURCES[rule])
