"""The log of a rule: everything in its file; warnings, and lines that are marked to be shown, in the terminal too."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# `_log.info(..., extra=SHOW)`: a line for the terminal while the job runs, such as an epoch of the training
SHOW = {"show": True}
# set by a Snakemake that prints what failed jobs say itself
WATCHED = "CYCLOTRAIN_WATCHED"
FAILED = "ERROR cyclotrain: "  # in a log file, before the words of the error that ended the job
FINISHED = "INFO cyclotrain: finished in "
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CLEAR_LINE = "\r\033[2K"  # Snakemake's process draws its progress bar on the last line
_NOISY = (
    "lightning.pytorch",  # both have a level and a handler of their own
    "lightning.fabric",
    "torch.onnx",
    "onnxscript",
    "onnx_ir",
    "mlflow",
    "alembic",
    "matplotlib",
    "fontTools",
    "fsspec",
    "sqlalchemy",
)


@contextmanager
def rule(log: str | Path, rank: int = 0) -> Iterator[None]:
    """Run a rule's work: log to `log`, and end with the words of the error if it fails.

    The file ends with the seconds that the work took, or with the traceback and the error. Where several processes share a
    job, those of a rank above 0 log errors only.
    """
    start = time.perf_counter()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    file, terminal = logging.FileHandler(log, mode="a" if rank else "w"), logging.StreamHandler()
    file.setFormatter(logging.Formatter(_FORMAT))
    name = str(Path(log).with_suffix("")).rpartition("logs/")[2]
    clear = _CLEAR_LINE if sys.stderr.isatty() else ""
    terminal.setFormatter(logging.Formatter(f"{clear}[{name}] %(message)s"))
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or hasattr(record, "show"))
    logging.basicConfig(level=logging.ERROR if rank else logging.INFO, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    # torch and Lightning use each other's deprecated names; nothing that a user can act on
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logger = logging.getLogger("cyclotrain")
    try:
        yield
    except KeyboardInterrupt:
        terminal.setLevel(logging.CRITICAL + 1)
        logger.error("stopped by Ctrl-C, after %.1f s", time.perf_counter() - start)
        sys.exit(130)
    except Exception as error:
        terminal.setLevel(logging.CRITICAL + 1)
        logger.exception("failed after %.1f s", time.perf_counter() - start)
        logger.error("%s: %s", type(error).__name__, error)
        if WATCHED not in os.environ:
            print(f"\n{type(error).__name__}: {error}\n(traceback: {log})", file=sys.stderr)
        sys.exit(1)
    logger.info("finished in %.1f s", time.perf_counter() - start)
