"""The log of a rule: people's lines in the terminal and in the rule's log file, tracebacks in the file."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHATTY = (
    "lightning.pytorch",  # both have a level and a handler of their own
    "lightning.fabric",
    "torch.onnx",
    "onnxscript",
    "onnx_ir",
    "mlflow",
    "alembic",
    "matplotlib",
    "fsspec",
    "sqlalchemy",
)


@contextmanager
def rule(log: str | Path, rank: int = 0) -> Iterator[None]:
    """Run a rule's work: log to `log` and to the terminal; end with the error's own words if it fails.

    Where several processes do it, those of a rank above 0 say errors alone.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    file, terminal = logging.FileHandler(log, mode="a" if rank else "w"), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    name = str(Path(log).with_suffix("")).rpartition("logs/")[2]
    terminal.setFormatter(logging.Formatter(f"[{name}] %(message)s"))
    terminal.addFilter(lambda record: record.name.startswith("cyclotrain") or record.levelno >= logging.ERROR)
    logging.basicConfig(level=logging.ERROR if rank else logging.INFO, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    # torch and Lightning use each other's deprecated names; nothing that a user can act on
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        yield
    except Exception as error:
        terminal.setLevel(logging.CRITICAL)
        logging.getLogger("cyclotrain").exception("failed")
        terminal.setLevel(logging.NOTSET)
        print(f"\n{type(error).__name__}: {error}\n(traceback: {log})", file=sys.stderr)
        sys.exit(1)
