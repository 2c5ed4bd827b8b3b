"""The spread of a run's figures over several seeds: of the sample (if it is simulated), the split and the training.

Run: python -m cyclotrain.report.seeds --configfile my.yaml 1 2 3     (`make seeds`)
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclotrain.config import ConfigError, load
from cyclotrain.contract.results import BOOSTED_TREES, Evaluation
from cyclotrain.core.errors import InputError
from cyclotrain.core.yaml_files import read_yaml
from cyclotrain.report.summary import gain_table, spread_table, table_of_figures


def folders(configfile: str | Path, seeds: Sequence[int], cores: str) -> list[Path]:
    """Run the workflow for each seed, in `results/<run>` for that of the config and in `results/<run>-seed-<n>` for others.

    Raises CalledProcessError if a run fails, and ConfigError for a config with folds.
    """
    config = load(read_yaml(configfile))
    if config.folds:
        raise ConfigError("folds: their spread is in the summary of the run; seeds are for a run without folds")
    results = []
    for seed in seeds:
        run = config.run if seed == config.seed else f"{config.run}-seed-{seed}"
        print(f"\nseed {seed}: results/{run}", flush=True)
        command = [sys.executable, "-m", "snakemake", "--configfile", str(configfile), "--cores", cores]
        subprocess.run([*command, "--config", f"run={run}", f"seed={seed}"], check=True)
        results.append(Path("results") / run)
    return results


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", default="config/config.yaml")
    parser.add_argument("--cores", default="all")
    parser.add_argument("seeds", type=int, nargs="+")
    arguments = parser.parse_args()
    try:
        runs = folders(arguments.configfile, arguments.seeds, arguments.cores)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except (ConfigError, InputError, OSError) as error:
        sys.exit(str(error))
    evaluations = [Evaluation.read(run / "evaluation.json") for run in runs]
    print(f"\nSeeds {', '.join(map(str, arguments.seeds))}\n")
    print("\n".join(spread_table(evaluations, "each seed")))
    if all(BOOSTED_TREES in evaluation.performance for evaluation in evaluations):
        lines = ["", *spread_table(evaluations, "each seed", scorer=BOOSTED_TREES), "", *gain_table(evaluations)]
        print("\n".join(lines))
    print("\n".join(["", *table_of_figures([evaluation.figures() for evaluation in evaluations], "each seed")]))
    # MLflow is for `tracking`, which nothing here imports
    sys.exit(subprocess.run([sys.executable, "-m", "cyclotrain.tracking.seeds", *map(str, runs)], check=False).returncode)


if __name__ == "__main__":
    main()
