"""What a run says when it ends: its summary, and what to type next."""

from pathlib import Path


def success(folder: str | Path, *, uri: str, options: str) -> str:
    """After a run that made everything; `folder`: of its results, `uri`: MLflow's, `options`: Snakemake's, for its config."""
    summary = Path(folder) / "summary.txt"
    parts = [*Path(folder).glob("**/gates.json"), *Path(folder).glob("**/train/weights.pt")]
    # a run of some targets only may have made another model than the one that the summary is of
    is_new = summary.exists() and all(part.stat().st_mtime <= summary.stat().st_mtime for part in parts)
    lines = ["", summary.read_text()] if is_new else []
    commands = {
        f"xdg-open {folder}/report.html": "the report of this run",
        f"mlflow ui --backend-store-uri {uri}": "compare runs",
        f"snakemake --cores all score{options}": "friend trees for the ntuples of the config",
    }
    if (Path(folder) / "friends").is_dir():
        lines.append(f"Friends     {folder}/friends   (friend trees that were made)\n")
    width = max(map(len, commands))
    lines += ["Next"] + [f"  {command:{width}}   {purpose}" for command, purpose in commands.items()]
    return "\n".join(lines)


def failure(folder: str | Path, *, since: float) -> str:
    """After a run in which a job failed; `since`: when it began, as a summary may be of an earlier run."""
    gates = Path(folder) / "logs/require_gates.log"
    if gates.exists() and gates.stat().st_mtime >= since:
        lines = ["", "The run failed at a gate. Change the model, its training or the limit, and run again."]
    else:
        lines = ["", "The run failed. What was finished stays, and the same command goes on from there."]
    summary = Path(folder) / "summary.txt"
    if summary.exists() and summary.stat().st_mtime >= since:
        lines.append(f"What was measured: {folder}/summary.txt and {folder}/report.html")
    return "\n".join(lines)
