"""The documentation as a site, built by `make site` in a clean clone: what a reader's browser gets."""

import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.browser import browser_page
from support.workflow import Workflow, made_once

# the attributes whose address a browser loads by itself
LOADED = {"src", "srcset", "poster", "data", "action"}


@dataclass
class Page(HTMLParser):
    """What a page of HTML refers to. `anchors`: its ids; `links`: to be clicked; `loads`: what the browser fetches by itself."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name == "href" and value is not None:
                (self.loads if tag == "link" else self.links).append(value)
            elif name in LOADED and value:
                self.loads.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> None:
        done = Workflow(folder).shell("make --assume-old .venv/complete site")
        assert done.returncode == 0, done.stdout

    return made_once(tmp_path_factory, "site", build) / "build/site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) > 25
    return found


@pytest.mark.parametrize(
    ("page", "text", "message"),
    [
        ("docs/gates.md", "[to](nowhere.md)", "'docs/gates.md' contains a link 'nowhere.md'"),
        ("docs/gates.md", "[to](training.md#nowhere)", "does not contain an anchor '#nowhere'"),
        ("docs/lonely.md", "# Lonely", 'not included in the "nav" configuration'),
    ],
)
def test_a_dead_link_or_a_page_outside_the_navigation_fails(
    page: str, text: str, message: str, site: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(site.parents[1], project)
    with (project / page).open("a") as file:
        file.write(f"\n{text}\n")
    done = Workflow(project, copy=False).shell("make --assume-old .venv/complete site")
    assert done.returncode != 0 and message in done.stdout, done.stdout


def test_no_link_and_no_anchor_is_dead(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            address = urlsplit(link)
            if address.scheme in ("http", "https"):
                continue
            # the page of an error is served at any address, so its links begin at the root
            folder = site if path.name == "404.html" else path.parent
            target = (folder / unquote(address.path).removeprefix("/")).resolve() if address.path else path
            target = site / "index.html" if target == site else target
            has_anchor = not address.fragment or target not in pages or unquote(address.fragment) in pages[target].anchors
            if not target.is_file() or not has_anchor:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_a_page_asks_nothing_of_the_network(site: Path, pages: dict[Path, Page]) -> None:
    assert [load for page in pages.values() for load in page.loads if urlsplit(load).netloc] == []
    styles = [path for path in site.rglob("*.css") if re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text())]
    assert styles == []


def test_all_pages_and_the_search_work_on_a_phone_without_a_server(site: Path, pages: dict[Path, Page]) -> None:
    with browser_page(viewport={"width": 390, "height": 844}) as (page, faults):
        for path in sorted(pages.keys() - {site / "404.html"}):  # a server shows that one, at any address
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        page.goto((site / "index.html").as_uri())
        page.click("label[for=__search].md-header__button")
        page.locator("input[name=query]").press_sequentially("calibration")
        page.wait_for_selector(".md-search-result__item")
        found = [link.get_attribute("href") for link in page.query_selector_all(".md-search-result__link")]
    assert "gates.html" in "".join(found)
    assert faults == []


def test_the_site_is_light_or_dark_as_the_reader_has_it(site: Path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        with browser_page(color_scheme=scheme) as (page, _):
            page.goto((site / "index.html").as_uri())
            page.wait_for_selector("body[data-md-color-media*=prefers]")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness[scheme] = max(int(part) for part in re.findall(r"\d+", colour)[:3])
    assert brightness["light"] > 200 and brightness["dark"] < 60
