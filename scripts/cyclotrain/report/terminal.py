"""What a run shows while it goes on: a line for each job with its time and what it made, failures in full, and a progress bar.

It takes the place of Snakemake's own lines, six a job. Where the output is no terminal, the same lines come without the bar.
A job's process writes to the same terminal: it clears the line of the bar first, and the bar is drawn again below (core.logs).
"""

import atexit
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from cyclotrain.core.files import write_json
from cyclotrain.core.logs import FAILED, FINISHED, WATCHED

# lines of Snakemake's that tell a physicist nothing
_NOISE = (
    "Building DAG of jobs", "Using shell: ", "Provided cores: ", "Rules claiming more threads", "Provided resources: ",
    "Provided remote nodes: ", "Group jobs: ", "Conda environments: ignored", "Singularity containers: ignored",
    "Select jobs to execute", "Execute ", "host: ", "Complete log", "Exiting because a job execution failed",
    "Shutting down, this might take some time", "At least one job did not complete successfully",
    "WorkflowError:\nAt least one job did not complete", "Storing output in storage", "Assuming unrestricted shared filesystem",
    "Removing output files of failed job", "Will exit after finishing currently running",
)  # fmt: skip
_QUIET_EVENTS = {
    "run_info",
    "workflow_started",
    "shellcmd",
    "job_started",
    "group_info",
    "rulegraph",
    "resources_info",
    "debug_dag",
}
_LONGEST_LOG = 40  # lines of a failed job whose log does not say what the error was
_DEFAULT_SECONDS = 3.0
# on the demo, on two cores; until a rule has run here once, scaled by how this machine and this sample compare
_TYPICAL_SECONDS = {"runtime_environment": 10, "simulate": 14, "train": 50, "export": 8, "verify": 85, "evaluate": 10,
                    "time_model": 12, "report_page": 8}  # fmt: skip


@dataclass
class _Job:
    name: str
    rule: str
    logs: Sequence[str]
    started: float = field(default_factory=time.monotonic)


class _Clock(ProgressColumn):
    """How long the run has gone on, how long it will, and what runs now."""

    def __init__(self, terminal: "Terminal") -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._terminal = terminal

    def render(self, task: Task) -> Text:
        """At this moment: the bar is drawn several times a second."""
        return Text(self._terminal.clock())


class Terminal(logging.Handler):
    """A handler for Snakemake's logger; `memory`: a file that keeps the seconds of each rule, to tell how long is left."""

    def __init__(self, memory: Path, console: Console | None = None) -> None:
        super().__init__()
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._memory = memory
        self.when_nothing_to_do: Callable[[], None] = lambda: None
        self._seconds = _remembered(memory)
        self._jobs: dict[int, _Job] = {}
        self._left: dict[str, int] = {}  # jobs that have not finished, by rule
        self._total = self._done = 0
        self._spent = self._expected = 0.0  # seconds of the finished jobs, and what was expected of them
        self._began = time.monotonic()
        self._bar = Progress(
            BarColumn(bar_width=16),
            TextColumn("{task.completed:.0f} of {task.total:.0f} jobs,"),
            _Clock(self),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("", total=1, visible=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record of Snakemake's logger, or of ours, in this process."""
        try:
            event = str(getattr(record, "event", None) or "")
            handler = getattr(self, f"_on_{event}", None)
            if handler:
                handler(record.__dict__)
            elif event not in _QUIET_EVENTS or record.levelno >= logging.WARNING:
                self._show(record)
        except Exception:  # logging's own way: an error in a handler must not end the run
            self.handleError(record)

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    # --- Snakemake's events ---

    def _on_run_info(self, event: Mapping[str, Any]) -> None:
        stats = {rule: int(count) for rule, count in event.get("stats", {}).items() if rule not in ("total", "all")}
        if self._total:  # it comes again at the end of a dry run
            return
        self._left, self._total = dict(stats), sum(stats.values())
        if self.console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, total=self._total, visible=True)
        else:
            self.console.print(f"{self._total} jobs to run")

    def _on_job_info(self, event: Mapping[str, Any]) -> None:
        self._jobs[event["jobid"]] = _Job(_name(event["rule_name"], event["wildcards"]), event["rule_name"], event["log"])

    def _on_job_finished(self, event: Mapping[str, Any]) -> None:
        job = self._jobs.pop(event["job_id"], None)
        if job is None or job.rule == "all":
            return
        log = _read_logs(job.logs)
        seconds = _seconds(log) or time.monotonic() - job.started
        self._spent += seconds
        self._expected += _TYPICAL_SECONDS.get(job.rule, _DEFAULT_SECONDS)
        self._seconds[job.rule] = seconds
        self._left[job.rule] = self._left.get(job.rule, 1) - 1
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        self._line("✓", "green", job.name, seconds, _last_words(log))
        write_json(self._memory, self._seconds)

    def _on_job_error(self, event: Mapping[str, Any]) -> None:
        job = self._jobs.pop(event["jobid"], None) or _Job(event["rule_name"], event["rule_name"], event["log"])
        self._line("✗", "red", job.name, time.monotonic() - job.started, "failed")
        if event.get("rule_msg"):  # of a cluster's executor: out of memory, held, node lost
            number = (event.get("aux") or {}).get("external_jobid")
            self.console.print(Text(f"{event['rule_msg']}{f' (job {number})' if number else ''}", style="red"))
        self.console.print(Text(_failure(event["log"]), style="red"))

    def _on_group_error(self, event: Mapping[str, Any]) -> None:
        """Snakemake reports each job of the group after it, without the log of the group."""
        if event.get("aux_logs"):
            self.console.print(Text(f"A group of jobs failed. {_failure(event['aux_logs'])}", style="red"))

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        """The bar counts jobs itself."""

    def _on_error(self, event: Mapping[str, Any]) -> None:
        message = str(event["msg"])
        if "CalledProcessError" not in message and not message.startswith(_NOISE):  # the job's own words were shown
            self.console.print(Text(message, style="red"))

    # --- lines ---

    def _show(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not message.strip() or message.startswith(_NOISE):
            return
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        self.console.print(Text(message, style=style))
        if message.startswith("Nothing to be done"):
            self.when_nothing_to_do()

    def _line(self, mark: str, style: str, name: str, seconds: float, words: str) -> None:
        count = "" if self.console.is_terminal else f"[{self._done}/{self._total}] "
        line = Text(f"{time.strftime('%H:%M:%S')}  {count}")
        line.append(mark, style=style)
        line.append(f" {name:<28} {_duration(seconds):>9}   ")
        line.append(words, style="dim" if style == "green" else style)
        line.rstrip()
        if self.console.is_terminal:
            line.truncate(self.console.width, overflow="ellipsis")  # the job's log has the whole line
        self.console.print(line)

    def clock(self) -> str:
        """The words behind the bar."""
        words = f"{_duration(time.monotonic() - self._began)} gone"
        if self._done:
            words += f", about {_duration(self._to_go())} to go"
        jobs = list(self._jobs.values())
        running = ", ".join(job.name for job in jobs[:3]) + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")
        return f"{words}   {running}"

    def _expect(self, rule: str) -> float:
        """Seconds of a job of this rule: those of the last one here, else typical ones, scaled by what jobs took so far."""
        if rule in self._seconds:
            return self._seconds[rule]
        scale = self._spent / self._expected if self._expected else 1.0
        return _TYPICAL_SECONDS.get(rule, _DEFAULT_SECONDS) * scale

    def _to_go(self) -> float:
        now = time.monotonic()
        waiting = dict(self._left)
        running = []
        for job in list(self._jobs.values()):
            waiting[job.rule] = waiting.get(job.rule, 1) - 1
            running.append(max(1.0, self._expect(job.rule) - (now - job.started)))
        work = sum(max(0, n) * self._expect(rule) for rule, n in waiting.items())
        return max(max(running, default=0.0), (work + sum(running)) / max(1, len(running)))


def take_over(logger: logging.Logger, memory: Path) -> Terminal | None:
    """Put a Terminal in the place of Snakemake's own stream handler; None where a logger plugin of the user's has that place."""
    stock = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if not stock:
        return None
    terminal = Terminal(memory)
    for handler in stock:
        logger.removeHandler(handler)
    logger.addHandler(terminal)
    logging.getLogger("cyclotrain").addHandler(terminal)
    os.environ[WATCHED] = "1"
    atexit.register(terminal.stop)
    return terminal


def _remembered(memory: Path) -> dict[str, float]:
    """The seconds of each rule in earlier runs; none where the file is not whole, as it serves an estimate only."""
    try:
        return {str(rule): float(seconds) for rule, seconds in json.loads(memory.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _name(rule: str, wildcards: Mapping[str, str]) -> str:
    values = "/".join(f"fold {value}" if name == "fold" else str(value) for name, value in wildcards.items())
    return f"{rule} {values}".strip()


def _read_logs(paths: Sequence[str]) -> str:
    return "".join(Path(path).read_text(errors="replace") for path in paths if Path(path).is_file())


def _seconds(log: str) -> float | None:
    """The seconds that a job's log says it took, without its wait in a queue."""
    last = log.rpartition(FINISHED)[2]
    return float(last.split()[0]) if last != log and last.split() else None


def _last_words(log: str) -> str:
    """The last thing that a module of ours said in a job's log."""
    lines = re.findall(r" INFO cyclotrain\.[\w.]+: (.*)$", log, re.MULTILINE)
    return str(lines[-1]) if lines else ""


def _failure(paths: Sequence[str]) -> str:
    """What the logs of a failed job say of the error, or the last lines of the last log that is not empty."""
    where = f"(log: {', '.join(map(str, paths))})"
    logs = [_read_logs([path]) for path in paths]
    for log in logs:
        words = log.rpartition(FAILED)[2]
        if words != log:
            return f"{words.rstrip()}\n{where}"
    lines = next((log.rstrip().splitlines()[-_LONGEST_LOG:] for log in reversed(logs) if log.strip()), [])
    return "\n".join([*lines, f"The job ended without a word on an error; it may have been killed. {where}"])


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
