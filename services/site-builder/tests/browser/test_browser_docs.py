"""The project's documents, looked at in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from spanbook_site import settings
from spanbook_site.build import Builder
from support.viewers import static_server

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[4]
PAGES = ("index", "how-to", "configuration", "migrate-mlflow")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This repository's own documents, served under a sub-path."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs").mkdir()
    chosen = settings.load(ROOT / "spanbook.yaml")
    Builder(folder / "runs", folder / "www" / "tracker", settings=chosen, jobs=1).build()
    with static_server(folder / "www") as url:
        yield f"{url}tracker/docs"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_documents_are_accessible(address: str, page: Page, scheme: str) -> None:
    """No document breaks a rule of axe, in light or dark."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name in PAGES:
        page.goto(f"{address}/{name}.html")
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], name


def test_documents_fit_a_phone(address: str, page: Page) -> None:
    """On a phone nothing but code and tables is wider than the screen."""
    page.set_viewport_size({"width": 390, "height": 800})
    for name in PAGES:
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name


def test_on_a_phone_the_text_comes_first(address: str, page: Page) -> None:
    """The list of documents is folded there, and opens; where there is room it is always open."""
    page.goto(f"{address}/how-to.html")
    there = page.locator(".docs-nav").get_by_role("link", name="Operations")
    assert there.is_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert not there.is_visible()
    box = page.get_by_role("heading", level=1).bounding_box()
    assert box is not None
    assert box["y"] < 200
    page.get_by_text("All documents").click()
    there.click()
    page.wait_for_url("**/docs/operations.html")


def test_one_document_leads_to_the_next(address: str, page: Page) -> None:
    """The navigation and the links in the text lead from document to document."""
    page.goto(f"{address}/index.html")
    page.locator(".docs-nav").get_by_role("link", name="How to").click()
    page.wait_for_url("**/docs/how-to.html")
    page.locator("article").get_by_role("link", name="ten lines of workflow").click()
    page.wait_for_url("**/docs/github.html#your-own-repository-in-ten-lines")
    page.get_by_role("navigation", name="Site").get_by_role("link", name="Runs").click()
    page.wait_for_url("**/tracker/index.html")
