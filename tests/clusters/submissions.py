"""Snakemake with HTCondor's real executor and no pool: record what it submits, and touch the job's outputs.

    python submissions.py RECORD SNAKEMAKE_ARGUMENTS...

RECORD gets a line of JSON for each job: {"rules": [...], "submitted": the submit description}.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import htcondor2
import snakemake.cli
import snakemake.executors.local
import snakemake_executor_plugin_htcondor
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

record = Path(sys.argv[1])
submitted: list[Any] = []


class Schedd:
    """Takes the place of HTCondor's."""

    def submit(self, description: htcondor2.Submit) -> SimpleNamespace:
        submitted.append(dict(description))
        return SimpleNamespace(cluster=lambda: len(submitted))


def touch(job: Any) -> None:
    for output in job.output:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).mkdir(exist_ok=True) if output.flags.get("directory") else Path(output).touch()


def run_at_home(self: Any, job: Any) -> None:
    touch(job)
    self.report_job_submission(SubmittedJobInfo(job))
    self.report_job_success(SubmittedJobInfo(job))


def run_job(original: Any) -> Any:
    def run(self: Any, job: Any) -> None:
        original(self, job)
        for one in job.jobs if job.is_group() else [job]:
            touch(one)
        with record.open("a") as file:
            rules = [one.rule.name for one in job.jobs] if job.is_group() else [job.rule.name]
            file.write(json.dumps({"rules": rules, "submitted": submitted[-1]}) + "\n")

    return run


async def all_are_done(self: Any, active: Any) -> Any:
    for job in active:
        self.report_job_success(job)
    return
    yield


htcondor2.Schedd = Schedd
htcondor2.Submit.issue_credentials = lambda self: None
Executor = snakemake_executor_plugin_htcondor.Executor
Executor.run_job = run_job(Executor.run_job)
Executor.check_active_jobs = all_are_done
snakemake.executors.local.Executor.run_job = run_at_home
snakemake.cli.main(sys.argv[2:])
