"""The built-in networks on the same jets of the demo: physics, parity and speed side by side, into docs/networks.md.

Run: python -m cyclotrain.report.networks --cores all     (`make networks`), after the demo, whose ntuples it reads.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cyclotrain.config import load
from cyclotrain.config.networks import BUILT_IN
from cyclotrain.contract.results import MODEL, Evaluation, History, Timing, Verification
from cyclotrain.core.files import atomic
from cyclotrain.core.yaml_files import read_yaml
from cyclotrain.report.readme import replaced

PAGE = Path("docs/networks.md")
_CONFIG = Path("config/config.yaml")
_FOUR_VECTOR = {"pt": "pf_pt", "eta": "pf_eta", "phi": "pf_phi", "energy": "pf_energy"}
# name of the row: what differs from the defaults of the network
_VARIANTS: Mapping[str, dict[str, Any]] = {
    **{name: {"name": name} for name in BUILT_IN},
    "particle_net_features": {"name": "particle_net", "options": {"graph": "features"}},
}


def configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """The demo's config with each network, by the name of its run; the files are those that the demo made."""
    for variant, model in _VARIANTS.items():
        raw = read_yaml(_CONFIG)
        run, raw["run"] = raw["run"], f"{raw['run']}-{variant}"
        for name, sample in raw["samples"].items():
            del sample["simulate"]
            sample["files"] = [f"results/{run}/ntuples/{name}/*.root"]
        is_demos = model["name"] == raw["model"]["name"]
        raw["model"] = raw["model"] if is_demos else model
        takes = BUILT_IN[model["name"]].takes
        if takes.constituents == "none":
            raw["inputs"] = {name: one for name, one in raw["inputs"].items() if "max_length" not in one}
        if takes.four_vectors == "needed":
            raw["inputs"]["constituents"]["four_vector"] = _FOUR_VECTOR
        raw["gates"] = {"auc.*": ">= 0.9"}
        yield variant, raw


def row(variant: str, folder: Path) -> str:
    """A line of the table, from the results of a run."""
    evaluation, verification = Evaluation.read(folder / "evaluation.json"), Verification.read(folder / "verification.json")
    history, timing = History.read(folder / "train/history.jsonl"), Timing.read(folder / "timing.json")
    (performance,) = evaluation.performance[MODEL].values()
    rejections = [
        "none left" if point.rejection.value is None else f"{point.rejection.value:,.0f} ± {point.rejection.uncertainty:,.0f}"
        for point in performance.rejection
    ]
    seconds = statistics.median(epoch.seconds for epoch in history.epochs)
    cells = [
        f"`{variant}`", f"{performance.auc.value:.4f} ± {performance.auc.uncertainty:.4f}", *rejections,
        f"{verification.max_abs:.1e}", f"{verification.max_abs_all_cases:.1e}", f"{verification.undefined:,}",
        f"{timing.runtimes[0].batch_1_latency_ms.p50:.2f} ms", f"{seconds:.0f} s",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(folders: Mapping[str, Path]) -> str:
    """The table of some runs, by the name of the row, in Markdown."""
    evaluation = Evaluation.read(next(iter(folders.values())) / "evaluation.json")
    (performance,) = evaluation.performance[MODEL].values()
    rejections = [f"rejection at {point.signal_efficiency:.0%}" for point in performance.rejection]
    heads = ["network", "AUC", *rejections, "parity, test", "parity, all", "undefined", "latency", "an epoch"]
    rows = [row(variant, folder) for variant, folder in folders.items()]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]) + "\n"


def main() -> None:
    """Run the demo's jets through each network and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="all")
    arguments = parser.parse_args()
    folders = {}
    for variant, raw in configs():
        load(raw)
        path = Path(f"results/{raw['run']}.yaml")
        path.parent.mkdir(exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(yaml.safe_dump(raw, sort_keys=False))
        print(f"\n{variant}: results/{raw['run']}", flush=True)
        command = [sys.executable, "-m", "snakemake", "--configfile", str(path), "--cores", arguments.cores]
        if code := subprocess.run(command, check=False).returncode:
            sys.exit(code)
        folders[variant] = Path("results") / raw["run"]
    text = replaced(PAGE.read_text(), "networks", table(folders))
    with atomic(PAGE) as temporary:
        temporary.write_text(text)
    print(table(folders))


if __name__ == "__main__":
    main()
