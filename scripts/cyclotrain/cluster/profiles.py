"""What each cluster's executor reads of the resources that the rules state: the generated part of profiles/.

    python -m cyclotrain.cluster.profiles

A rule states `mem_mb`, `disk_mb` and `runtime` once, in Snakemake's own words. Executors read other words, and a job that was
killed for memory or time needs more the next time; so each profile has `set-resources`, written here from the rules.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness

FOLDER = Path("profiles")
BEGIN = "# Written by `make docs` from what the rules state; each try asks for as much again.\n"

# executor's word: expression of the rule's numbers
_SLURM = {"mem_mb": "{mem_mb} * attempt", "runtime": "{runtime} * attempt"}
_HTCONDOR = {"htcondor_request_mem_mb": "{mem_mb} * attempt", "htcondor_request_disk_mb": "{disk_mb} * attempt"}
# not allowed_execute_duration, which HTCondor 23.9 enforced in 1 of 9 tries
TRANSLATIONS: Mapping[str, Mapping[str, str]] = {
    "slurm": _SLURM,
    "htcondor": {**_HTCONDOR, "allowed_job_duration": "{runtime} * 60 * attempt"},
    "htcondor-noshared": {**_HTCONDOR, "allowed_job_duration": "{runtime} * 60 * attempt"},
    "lxplus": {**_HTCONDOR, "classad_MaxRuntime": "{runtime} * 60 * attempt"},
    "naf": {**_HTCONDOR, "classad_RequestRuntime": "{runtime} * 60 * attempt"},
}


def stated() -> dict[str, dict[str, int]]:
    """`mem_mb`, `disk_mb` and `runtime` of each rule that runs as a job."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        described = api.workflow(resource_settings=ResourceSettings(), snakefile=Path("Snakefile"))
        workflow = described._get_workflow(check_envvars=False)  # as `snakemake --lint` does: it has no public way
        workflow.include("Snakefile", overwrite_default_target=True)
        return {
            rule.name: {name: int(rule.resources[name].value) for name in ("mem_mb", "disk_mb", "runtime")}
            for rule in workflow.rules
            if "mem_mb" in rule.resources
        }


def set_resources(profile: str, rules: Mapping[str, Mapping[str, int]]) -> str:
    """The generated part of one profile."""

    def lines() -> Iterator[str]:
        yield "set-resources:"
        for rule, numbers in rules.items():
            yield f"  {rule}:"
            for word, expression in TRANSLATIONS[profile].items():
                yield f"    {word}: {expression.format(**numbers)}"

    return BEGIN + "\n".join(lines()) + "\n"


def main() -> None:
    """Write the generated part of each profile anew."""
    rules = stated()
    for profile in TRANSLATIONS:
        path = FOLDER / profile / "profile.v9+.yaml"
        by_hand = path.read_text().partition(BEGIN)[0]
        path.write_text(by_hand + set_resources(profile, rules))
        print(path)


if __name__ == "__main__":
    main()
