"""Commands beside the workflow. Run: python -m cyclotrain --help."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from cyclotrain.config import ConfigError
from cyclotrain.core.errors import InputError
from cyclotrain.fetch.command import fetch
from cyclotrain.fetch.public_sets import PUBLIC_SETS
from cyclotrain.gates.command import listed


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
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; return the exit code."""
    options = command_line().parse_args(arguments)
    try:
        if options.command == "fetch":
            fetch(PUBLIC_SETS[options.set], options.folder or Path("data") / options.set, options.files)
        else:
            print(*listed(options.config), sep="\n")
    except (ConfigError, InputError, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
