"""The model card: what a model is, what it was made from, how good and how fast it is, and where that was proven.

It goes into the bundle with the model. The report of the run (page.py) has all figures and every case.
"""

import base64
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.report.facts import About, facts, template, to_html

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """The card as Markdown, with its plots named as files in `plots/`, and as HTML, with its plots in the page."""

    markdown: str
    html: str

    def write(self, path_markdown: str | Path, path_html: str | Path) -> None:
        """Write both, each whole or not at all."""
        for path, text in ((path_markdown, self.markdown), (path_html, self.html)):
            with atomic(path) as temporary:
                temporary.write_text(text)
        _log.info("%s: %.1f MB", path_html, len(self.html) / 1e6)


def card(run: Run, about: About, plots: Mapping[str, str | Path]) -> Card:
    """The card of a run; `plots`: PNG files by their titles."""
    titles = {Path(path).stem: title for title, path in plots.items()}
    text = template("model_card.md.jinja").render(**facts(run, about), titles=titles)
    text = re.sub(r"\n{3,}", "\n\n", text)
    body = to_html(text)
    for plot in map(Path, plots.values()):
        body = body.replace(f'src="plots/{plot.name}"', f'src="{_data_uri(plot)}"')
    title = text.partition("\n")[0].removeprefix("# ")
    return Card(text, template("model_card.html.jinja").render(title=title, body=body))


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
