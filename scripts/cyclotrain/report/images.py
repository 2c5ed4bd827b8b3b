"""The pictures of the documentation: the graph of the rules, the plots of a finished run that pages show, and its report.

Run: python -m cyclotrain.report.images results/demo     (`make images`); without a run, it draws the graph alone.
It needs dot and tred of Graphviz, and Chromium.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclotrain.core.files import atomic

IMAGES = Path("docs/images")
GRAPH = IMAGES / "dag.svg"
REPORT = IMAGES / "report.png"
_MEASURE, _JUDGE, _TELL, _MAKE = "#0072b2", "#d55e00", "#009e73", "#555555"
_COLOURS = {
    **dict.fromkeys(
        ("describe_inputs", "predict", "baseline", "evaluate", "verify", "time_model", "reference_vectors"), _MEASURE
    ),
    **dict.fromkeys(("gates", "require_gates"), _JUDGE),
    **dict.fromkeys(("plot", "working_points", "model_card", "summarise", "track", "report_page"), _TELL),
}
_STYLE = """rankdir=LR; nodesep=0.08; ranksep=0.28; bgcolor=white;
node [shape=box, style=rounded, fontname=sans, fontsize=11, height=0.3, margin="0.08,0.03", penwidth=1.6];
edge [color="#999999", arrowsize=0.6];"""


def graph(snakemakes: str) -> str:
    """The graph of rules that `snakemake --rulegraph dot` prints, in Graphviz's language, with a colour for what a rule does."""
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', snakemakes, re.MULTILINE))
    edges = [(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", snakemakes, re.MULTILINE)]
    lines = [f'{name} [color="{_COLOURS.get(name, _MAKE)}"];' for name in sorted(names.values()) if name != "all"]
    lines += [f"{a} -> {b};" for a, b in sorted(edges) if b != "all"]
    return "\n".join(["digraph rules {", _STYLE, *lines, "}"])


def draw_graph() -> None:
    """Write the graph of the rules, without the arrows that others imply."""
    rules = _output(sys.executable, "-m", "snakemake", "--rulegraph", "dot")
    with atomic(GRAPH) as temporary:
        temporary.write_text(_output("dot", "-Tsvg", text=_output("tred", text=graph(rules))))


def _output(*command: str, text: str | None = None) -> str:
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def copy_plots(run: Path) -> None:
    """Copy the plots that pages show from a run. Pictures that are no plots of a run, such as screenshots, stay as they are."""
    for page in [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]:
        for name in re.findall(r"!\[[^]]*\]\([^)]*images/([\w.-]+)\)", page.read_text()):
            if (run / "plots" / name).exists():
                with atomic(IMAGES / name) as temporary:
                    shutil.copyfile(run / "plots" / name, temporary)
            elif name not in (GRAPH.name, REPORT.name):
                print(f"{page} shows images/{name}, which is no plot of {run}")


def photograph(page: Path) -> None:
    """Write the first screen of the report of a run, as a browser shows it."""
    # imported here: only this picture needs a browser
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.resolve().as_uri())
        with atomic(REPORT) as temporary:
            temporary.write_bytes(tab.screenshot())
        browser.close()


def main(runs: Sequence[str]) -> None:
    """Make the pictures anew: of the rules, and of a run if one is named."""
    draw_graph()
    for run in map(Path, runs):
        copy_plots(run)
        photograph(run / "report.html")


if __name__ == "__main__":
    main(sys.argv[1:])
