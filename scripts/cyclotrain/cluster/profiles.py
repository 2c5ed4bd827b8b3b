"""Write the `set-resources` of each profile in profiles/ from the table of resources.

    python -m cyclotrain.cluster.profiles

Rules state `mem_mb`, `disk_mb` and `runtime`, in Snakemake's words. Executors read other words, and a job that was killed for
memory or time needs more the next time. So each profile states them again, in its executor's words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from cyclotrain.cluster.resources import RESOURCES

FOLDER = Path("profiles")
BEGIN = "# Written by `make docs` from scripts/cyclotrain/cluster/resources.py; each try asks for as much again.\n"

# the executor's word: an expression of the table's numbers
_SLURM = {"mem_mb": "{mem_mb} * attempt", "runtime": "{runtime} * attempt"}
_HTCONDOR = {"htcondor_request_mem_mb": "{mem_mb} * attempt", "htcondor_request_disk_mb": "{disk_mb} * attempt"}
# not allowed_execute_duration: HTCondor 23.9 enforced it in 1 of 9 tries
TRANSLATIONS: Mapping[str, Mapping[str, str]] = {
    "slurm": _SLURM,
    "htcondor": {**_HTCONDOR, "allowed_job_duration": "{runtime} * 60 * attempt"},
    "htcondor-noshared": {**_HTCONDOR, "allowed_job_duration": "{runtime} * 60 * attempt"},
    "lxplus": {**_HTCONDOR, "classad_MaxRuntime": "{runtime} * 60 * attempt"},
    "naf": {**_HTCONDOR, "classad_RequestRuntime": "{runtime} * 60 * attempt"},
}


def path_of(profile: str) -> Path:
    """The file of a profile, from the folder of the Snakefile."""
    return FOLDER / profile / "profile.v9+.yaml"


def set_resources(profile: str) -> str:
    """The generated part of one profile."""

    def lines() -> Iterator[str]:
        yield "set-resources:"
        for rule, resources in RESOURCES.items():
            yield f"  {rule}:"
            for word, expression in TRANSLATIONS[profile].items():
                yield f"    {word}: {expression.format(**asdict(resources))}"

    return BEGIN + "\n".join(lines()) + "\n"


def main() -> None:
    """Write the generated part of each profile anew."""
    for profile in TRANSLATIONS:
        path = path_of(profile)
        written_by_hand = path.read_text().partition("# Written by `make docs`")[0]
        path.write_text(written_by_hand + set_resources(profile))
        print(path)


if __name__ == "__main__":
    main()
