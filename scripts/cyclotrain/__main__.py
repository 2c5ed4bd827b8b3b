"""Commands beside the workflow. Run: python -m cyclotrain --help."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from cyclotrain.config import ConfigError, load
from cyclotrain.contract.results import STUDIES
from cyclotrain.contract.run import RESULT_FILES, Run
from cyclotrain.core.errors import InputError
from cyclotrain.core.yaml_files import read_yaml
from cyclotrain.fetch.command import fetch
from cyclotrain.fetch.public_sets import PUBLIC_SETS
from cyclotrain.gates.command import listed
from cyclotrain.runtimes import targets


def command_line() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m cyclotrain", description="Cyclotrain, beside its workflow")
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="load a public data set and convert it to ROOT files (docs/public-data-sets.md)")
    fetching.add_argument("set", choices=PUBLIC_SETS)
    fetching.add_argument("--folder", type=Path, help="where to; default: data/<set>, as in config/examples/")
    fetching.add_argument("--files", nargs="*", default=["*"], metavar="GLOB", help="only these of the published files")
    figures = commands.add_parser("figures", help="list the figures that a run measures, for `gates` of its config")
    figures.add_argument("config", type=Path, nargs="?", default=Path("config/config.yaml"))
    commands.add_parser("targets", help="list what CMSSW and Triton run, for `export.targets` of the config (docs/targets.md)")
    promoting = commands.add_parser(
        "promote", help="make a run's model the champion if it beats the present one (docs/tracking.md)"
    )
    promoting.add_argument("config", type=Path, nargs="?", default=Path("config/config.yaml"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; return the exit code."""
    options = command_line().parse_args(arguments)
    try:
        if options.command == "fetch":
            fetch(PUBLIC_SETS[options.set], options.folder or Path("data") / options.set, options.files)
        elif options.command == "promote":
            return promote(options.config)
        elif options.command == "targets":
            print(*targets.lines(), sep="\n")
        else:
            print(*listed(options.config), sep="\n")
    except (ConfigError, InputError, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def promote(path: Path) -> int:
    """Promote the model of the run of a config; the exit code is 0 if it is the champion now."""
    # these import PyTorch and MLflow
    from cyclotrain.evaluation.earlier_model import evaluate_earlier_model
    from cyclotrain.tracking import promotion

    config = load(read_yaml(path))
    folder = Path("results") / config.run
    try:
        measured = {name: folder / file for name, file in RESULT_FILES.items() if name not in STUDIES or name in config.studies}
        run = Run.read(measured)
    except FileNotFoundError as error:
        raise InputError(f"'{folder}' is no finished run, run the workflow with {path} first: {error}") from error
    is_champion, words = promotion.promote(
        run,
        tracking=config.tracking,
        bounds=config.gates,
        evaluate=lambda exported: evaluate_earlier_model(
            run.contract,
            exported,
            shards=list(run.dataset.shards),
            settings=config.evaluation,
            threads=os.cpu_count() or 1,
        ),
    )
    print(words)
    return 0 if is_champion else 1


if __name__ == "__main__":
    sys.exit(main())
