"""What a run shows: a line for each job, failures in full, a bar on a terminal only."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cyclotrain.core.logs import rule
from cyclotrain.report.terminal import Terminal


class Screen:
    def __init__(self, folder: Path, is_terminal: bool) -> None:
        self.stream = io.StringIO()
        console = Console(file=self.stream, force_terminal=is_terminal, width=100, soft_wrap=True, highlight=False)
        self.terminal = Terminal(folder / "seconds.json", console)
        self.logger = logging.Logger("snakemake")
        self.logger.addHandler(self.terminal)

    def event(self, name: str, message: str = "", level: int = logging.INFO, **values: Any) -> None:
        self.logger.log(level, message, extra={"event": name, **values})

    def job(self, number: int, name: str, log: Path | None = None, **wildcards: str) -> None:
        self.event("job_info", jobid=number, rule_name=name, wildcards=wildcards, log=[str(log)] if log else [])

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path, is_terminal=False)


def test_a_job_is_one_line_with_its_name_its_time_and_what_it_made(screen: Screen, tmp_path: Path) -> None:
    log = tmp_path / "logs/skim.log"
    with rule(log):
        logging.getLogger("cyclotrain.ingest.skim").info("100 events read, 50 kept")
    screen.event("run_info", stats={"skim": 2, "total": 2})
    screen.job(3, "skim", log, sample="qcd", job="000")
    screen.event("job_finished", job_id=3)
    lines = screen.text.splitlines()
    assert lines[0] == "2 jobs to run"
    assert len(lines) == 2 and "[1/2] ✓ skim qcd/000" in lines[1]
    assert lines[1].endswith("0.0 s   100 events read, 50 kept")
    assert "\033" not in screen.text  # plain text where there is no terminal


def test_a_failed_job_shows_the_words_of_its_error_and_its_log_not_the_traceback(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs/skim.log"
    monkeypatch.setenv("CYCLOTRAIN_WATCHED", "1")
    with pytest.raises(SystemExit), rule(log):
        raise ValueError("file.root: no branch 'pt'\nnearest names: Jet_pt")
    screen.job(1, "skim", log)
    screen.event("job_error", level=logging.ERROR, jobid=1, rule_name="skim", log=[str(log)])
    assert "✗ skim" in screen.text
    assert "ValueError: file.root: no branch 'pt'\nnearest names: Jet_pt" in screen.text
    assert f"(log: {log})" in screen.text and "Traceback" not in screen.text
    assert "Traceback" in log.read_text()


def test_ctrl_c_is_named_and_shows_no_traceback(screen: Screen, tmp_path: Path) -> None:
    log = tmp_path / "logs/train.log"
    with pytest.raises(SystemExit), rule(log):
        logging.getLogger("cyclotrain.training.train").info("epoch 1")
        raise KeyboardInterrupt
    screen.job(1, "train", log)
    screen.event("job_error", level=logging.ERROR, jobid=1, rule_name="train", log=[str(log)])
    assert "stopped by Ctrl-C, after " in screen.text and "epoch 1" not in screen.text
    assert "Traceback" not in log.read_text()


def test_a_job_that_was_killed_shows_the_end_of_its_log(screen: Screen, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("\n".join(f"line {i}" for i in range(100)))
    screen.job(1, "train", log)
    screen.event("job_error", level=logging.ERROR, jobid=1, rule_name="train", log=[str(log)])
    assert "line 99" in screen.text and "line 59" not in screen.text
    screen.job(2, "train")
    screen.event("job_error", level=logging.ERROR, jobid=2, rule_name="train", log=[])
    assert screen.text.count("it may have been killed") == 2


def test_what_a_cluster_says_of_a_failed_job_is_shown(screen: Screen, tmp_path: Path) -> None:
    own, cluster = tmp_path / "train.log", tmp_path / "slurm.log"
    own.write_text("")
    cluster.write_text("slurmstepd: oom-kill\n")
    screen.job(1, "train", own)
    logs = [str(own), str(cluster)]
    screen.event(
        "job_error", level=logging.ERROR, jobid=1, rule_name="train", log=logs, rule_msg="SLURM status is: 'OUT_OF_MEMORY'",
        aux={"external_jobid": "17"},
    )  # fmt: skip
    assert "SLURM status is: 'OUT_OF_MEMORY' (job 17)" in screen.text and "slurmstepd: oom-kill" in screen.text
    screen.event("group_error", level=logging.ERROR, groupid="model", aux_logs=[str(cluster)])
    assert "A group of jobs failed. slurmstepd: oom-kill" in screen.text


def test_warnings_and_errors_of_snakemake_are_shown_and_its_small_talk_is_not(screen: Screen) -> None:
    for message in ("Building DAG of jobs...", "Select jobs to execute...", "Using shell: /usr/bin/bash"):
        screen.logger.info(message)
    screen.logger.warning("the clock is wrong")
    screen.event("error", "WorkflowError:\nthe file is gone", logging.ERROR)
    assert screen.text == "the clock is wrong\nWorkflowError:\nthe file is gone\n"


def test_a_terminal_has_a_bar_that_counts_the_jobs_and_says_how_long_is_left(tmp_path: Path) -> None:
    screen = Screen(tmp_path, is_terminal=True)
    screen.event("run_info", stats={"train": 1, "skim": 3, "total": 4})
    screen.job(1, "skim")
    screen.event("job_finished", job_id=1)
    screen.job(2, "train")
    words = screen.terminal.clock()
    screen.terminal.stop()
    assert " gone, about " in words and words.endswith("train")
    assert "1 of 4 jobs" in screen.text


def test_the_time_left_is_that_of_the_last_run_here(tmp_path: Path) -> None:
    (tmp_path / "seconds.json").write_text('{"train": 600.0, "skim": 1.0}')
    screen = Screen(tmp_path, is_terminal=True)
    screen.event("run_info", stats={"train": 1, "skim": 1, "total": 2})
    screen.job(1, "skim")
    screen.event("job_finished", job_id=1)
    words = screen.terminal.clock()
    screen.terminal.stop()
    assert "about 10 min 00 s to go" in words


def test_a_damaged_memory_of_times_stops_no_run(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"train": "long"}', "\\xff"):
        (tmp_path / "seconds.json").write_text(text)
        Screen(tmp_path, is_terminal=False).job(1, "train")


def test_nothing_to_do_calls_back(screen: Screen) -> None:
    calls = []
    screen.terminal.when_nothing_to_do = lambda: calls.append(1)
    screen.logger.info("Nothing to be done (all requested files are present and up to date).")
    assert calls == [1]
