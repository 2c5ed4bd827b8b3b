"""The figures in README.md, from the demo's own results.

Run: python -m cyclotrain.report.readme results/demo results/demo-seed-2 results/demo-seed-3     (`make readme`)
"""

import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Evaluation
from cyclotrain.core.files import atomic
from cyclotrain.report.summary import mean_gain

README = Path("README.md")


def replaced(text: str, name: str, block: str) -> str:
    """The text with another block between `<!-- name -->` and `<!-- end of name -->`; raises ValueError without these."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{README} has no block '{name}'")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}{block}{end}", text, flags=re.DOTALL)


def spread(evaluations: Sequence[Evaluation]) -> str:
    """Mean and standard deviation over the runs of the model and of the trees, as a table in Markdown."""
    names = {"AUC": (".4f", None), **{f"rejection at {p:.0%}": (".0f", i) for i, p in enumerate(_efficiencies(evaluations[0]))}}
    (background,) = evaluations[0].backgrounds
    lines = ["| mean ± spread (each seed) | exported model | boosted trees | ratio |", "|---|---|---|---|"]
    for name, (form, index) in names.items():
        cells = [
            _cell([_value(evaluation, scorer, index) for evaluation in evaluations], form) for scorer in (MODEL, BOOSTED_TREES)
        ]
        gain = None if index is None else mean_gain(evaluations, background, index)
        lines.append(f"| {name} | {' | '.join(cells)} | {'' if gain is None else f'{gain:.1f}'} |")
    return "\n".join(lines) + "\n"


def _efficiencies(evaluation: Evaluation) -> list[float]:
    (performance,) = evaluation.performance[MODEL].values()
    return [point.signal_efficiency for point in performance.rejection]


def _value(evaluation: Evaluation, scorer: str, index: int | None) -> float | None:
    (performance,) = evaluation.performance[scorer].values()
    return (performance.auc if index is None else performance.rejection[index].rejection).value


def _cell(values: Sequence[float | None], form: str) -> str:
    each = ", ".join("none left" if value is None else f"{value:{form}}" for value in values)
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return each
    return f"{statistics.mean(known):{form}} ± {statistics.stdev(known):{form}} ({each})"


def main(runs: Sequence[str]) -> None:
    """Write README.md anew."""
    text = README.read_text()
    text = replaced(text, "summary", f"```text\n{(Path(runs[0]) / 'summary.txt').read_text()}```\n")
    text = replaced(text, "seeds", spread([Evaluation.read(Path(run) / "evaluation.json") for run in runs]))
    with atomic(README) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
