"""A real browser, Debian's Chromium, that tests drive."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright


@contextmanager
def browser_page(**context: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what went wrong on it: errors of scripts, and addresses on the network that it asked for.

    context: of Playwright's `new_context`, such as `viewport` and `color_scheme`. Skips the test where there is no Chromium.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here: `apt-get install chromium` brings it")
    faults: list[str] = []
    with sync_playwright() as playwright:
        # as root, Chromium has no sandbox
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(**context).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
        yield page, faults
        browser.close()
