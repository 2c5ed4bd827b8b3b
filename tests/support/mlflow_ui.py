"""MLflow's UI in a real browser, gone through as a user would."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from xrootd_server import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
# MLflow opens its assistant, for language models, over a third of the first page
_WITHOUT_ASSISTANT = """
if (window === window.top) {  // not in the frame of a report, which may not store anything
  localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
}
"""
_PATIENCE = 180  # seconds, on a loaded machine


@contextmanager
def served(uri: str) -> Iterator[str]:
    """The address of `mlflow ui` for a store."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port), "--backend-store-uri", uri]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as server:
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert time.monotonic() < deadline, "no answer from mlflow ui"
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 15)  # its worker too


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Visit:
    """A user who looks at two runs, one of which is a version of a registered model.

    `pictures`: the folder for a picture of each page, if any. `errors`: of scripts; `foreign`: what was asked of other hosts.
    """

    def __init__(self, page: "Page", address: str, experiment: str, pictures: Path | None) -> None:
        self.page, self.address, self.pictures = page, address, pictures
        self.home = f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning"
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.add_init_script(_WITHOUT_ASSISTANT)
        page.set_default_timeout(_PATIENCE * 1000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(url)

    def _picture(self, name: str, settle: float = 3.0) -> None:
        if self.pictures:
            self.page.wait_for_timeout(settle * 1000)  # charts are drawn after their data
            self.page.screenshot(path=self.pictures / f"mlflow_{name}.png")

    def _close_dialog(self) -> None:
        """That MLflow opens over a page that is new to a user."""
        dialog = self.page.get_by_role("dialog")
        self.page.wait_for_timeout(3000)
        if dialog.count():
            dialog.get_by_role("button", name="Close").click()
            dialog.wait_for(state="hidden")

    def find_runs(self, *names: str, columns: tuple[str, ...]) -> None:
        """Find runs in the list, with columns of some metrics and parameters."""
        self.page.goto(self.home)
        for name in names:
            self.page.get_by_role("link", name=name, exact=True).first.wait_for()
        self.page.get_by_role("button", name="Columns").click()
        for column in columns:
            self.page.get_by_placeholder("Search columns").fill(column)
            tree = self.page.locator(".du-bois-light-tree-treenode").filter(has_text=column)
            tree.filter(has=self.page.get_by_text(column, exact=True)).first.locator("[class*=tree-checkbox]").first.click()
        for column in ("Source", "Dataset"):  # for room
            self.page.get_by_placeholder("Search columns").fill(column)
            tree = self.page.locator(".du-bois-light-tree-treenode")
            tree.filter(has=self.page.get_by_text(column, exact=True)).last.locator("[class*=tree-checkbox]").first.click()
        self.page.keyboard.press("Escape")
        self._picture("runs")

    def open_run(self, name: str) -> str:
        """Open a run from the list; the text of its page."""
        self.page.goto(self.home)
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.get_by_role("heading", name="Description").wait_for()
        self.page.get_by_role("button", name="Show more").or_(self.page.get_by_text("Show more")).first.click()
        self._picture("run")
        return self.page.inner_text("body")

    def compare_curves(self, metric: str) -> None:
        """Draw a curve of all runs, each in its colour."""
        self.page.goto(f"{self.home}&compareRunsMode=CHART")
        self.page.get_by_placeholder("Search metric charts").fill(metric)
        self.page.locator(".js-plotly-plot").first.wait_for()
        self._picture("curves", settle=6)

    def compare_parameters(self, *names: str) -> str:
        """Tick runs in the list and compare them; the text of the page, whose parameters are those that differ."""
        self.page.goto(self.home)
        for name in names:
            row = self.page.locator(".ag-pinned-left-cols-container .ag-row, .ag-center-cols-container .ag-row")
            of_run = row.filter(has=self.page.get_by_role("link", name=name, exact=True)).first
            of_run.locator("input[aria-label*='toggle row selection']").check(force=True)
        self.page.get_by_role("button", name="Compare").click()
        switch = self.page.get_by_role("switch", name="Parameters - Show diff only")
        switch.click()
        switch.scroll_into_view_if_needed()
        self._picture("parameters")
        return self.page.inner_text("body")

    def open_report(self, run_id: str, experiment: str) -> str:
        """Open the report among the artifacts of a run; its text."""
        where = f"{self.address}/#/experiments/{experiment}/runs/{run_id}/artifacts?workflowType=machine_learning"
        self.page.goto(where)
        self.page.get_by_text("report.html", exact=True).first.click()
        report = self.page.frame_locator("iframe").first.locator("body")
        report.wait_for()
        self._picture("report", settle=6)
        return report.inner_text()

    def find_champion(self, model: str, run: str) -> str:
        """From the list of models to the version with the alias `champion`, and to the run that it is from; that page's text."""
        self.page.goto(f"{self.address}/#/models?workflowType=machine_learning")
        self.page.get_by_role("link", name=model, exact=True).first.wait_for()
        self._close_dialog()
        self.page.get_by_role("link", name=model, exact=True).first.click()
        row = self.page.get_by_role("row").filter(has_text="champion")
        row.first.wait_for()
        self._picture("registry")
        row.get_by_role("link").filter(has_text="Version").first.click()
        source = self.page.get_by_role("link", name=run, exact=True).first
        source.wait_for()
        self._picture("version")
        source.click()
        self.page.get_by_role("heading", name="Description").wait_for()
        return self.page.inner_text("body")


@contextmanager
def visit(uri: str, experiment: str, pictures: Path | None = None) -> Iterator[Visit]:
    """A browser on the UI of a store."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM
    with served(uri) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Visit(browser.new_page(viewport={"width": 1400, "height": 760}), address, experiment, pictures)
        browser.close()
