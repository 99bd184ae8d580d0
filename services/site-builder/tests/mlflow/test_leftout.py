"""Rule: what of MLflow's build is left out of a site is what no page that is in it can load."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from mlflow_twins import static_server, write_static
from playwright.sync_api import Page, expect
from spanbook_site.mlflow import page as mlflow_page
from spanbook_site.mlflow import wheel
from ui_runs import TRAIN, runs

ROUTE = re.compile(
    r"\{path:([^,]{1,80}),(?:pageId:[^,]+,)?element:\(0,\w+\.\w+\)\(\(\)=>(.{0,900}?)\.then\("
)
ASKS = re.compile(r"(?<![\w$])[a-zA-Z_$]{1,2}\.e\((\d+)\)")
OWN = re.compile(r"\.push\(\[\[(\d+)\]")  # of a chunk whose file has a name, not a number
ADDRESS = re.compile(r'static get (\w+)\(\)\{return\(0,\w+\.\w+\)\("([^"]+)"\)')
PAGES = re.compile(r"new RegExp\(\s*(.+?),\s*\);", re.DOTALL)


def leaves_out(address: str) -> bool:
    """Whether ``leftout.js`` turns this address of the UI away."""
    text = PAGES.search((mlflow_page.SHIM / "leftout.js").read_text())
    assert text
    pattern = "".join(re.findall(r'"([^"]*)"', text[1]))
    return re.match(pattern, f"#{re.sub(r':[a-zA-Z]+', 'x', address)}") is not None


def bundles() -> tuple[str, dict[str, str]]:
    """The main script, and what a site has of each chunk: its script, empty where it has styles only."""
    main = ""
    chunks: dict[str, str] = {}
    for name, path in wheel.files(wheel.folder()):
        numbered = re.search(r"/(\d+)\.[0-9a-f]{8}\.chunk\.", name)
        if name.endswith(".chunk.css") and numbered:
            chunks.setdefault(numbered[1], "")
        elif name.endswith(".js"):
            script = path.read_text(encoding="utf-8")
            main = script if "/main." in name else main
            if chunk := numbered or OWN.search(script[:2000]):
                chunks[chunk[1]] = script
    return main, chunks


def reached(first: Iterable[str], chunks: dict[str, str]) -> set[str]:
    """The chunks that some load, and all that those load."""
    found: set[str] = set()
    rest = list(first)
    while rest:
        chunk = rest.pop()
        if chunk not in found:
            found.add(chunk)
            rest += ASKS.findall(chunks.get(chunk, ""))
    return found


def test_each_page_that_is_there_has_all_its_chunks_and_no_others_are_there() -> None:
    """By the build's own table of pages: what the pages load that nobody is turned away from is what the site has."""
    main, chunks = bundles()
    addresses = dict(ADDRESS.findall(main))
    of_pages: set[str] = set()
    kept: set[str] = set()
    for path, asks in ROUTE.findall(main):
        chunks_of_page = set(ASKS.findall(asks))
        of_pages |= chunks_of_page
        address = addresses.get(path.rpartition(".")[2])
        if address and not leaves_out(address):
            kept |= chunks_of_page
    assert len(of_pages) > 50
    always = set(ASKS.findall(main)) - of_pages
    assert reached(kept | always, chunks) == set(chunks)


@pytest.mark.browser
@pytest.mark.slow
def test_who_asks_for_a_page_that_is_left_out_is_told_why(tmp_path: Path, page: Page) -> None:
    """By a deep link, by the address bar and by a link of the UI: a page that works, and a note."""
    write_static(tmp_path, runs())
    note = page.locator("#spanbook-leftout")
    with static_server(tmp_path) as served:
        index = f"{served.url}mlflow/index.html"
        page.goto(f"{index}#/gateway")
        expect(note).to_contain_text("not part of a published site")
        expect(page.get_by_role("link", name="shop/train")).to_be_visible()
        note.click()
        expect(note).to_have_count(0)
        page.evaluate("location.hash = '#/models/mine'")
        expect(note).to_be_visible()
        expect(page).to_have_url(re.compile("#/experiments$"))
        page.goto(f"{index}#/experiments/{TRAIN}/runs")
        page.get_by_text("GenAI", exact=True).click()
        page.locator("a[href*='/chat-sessions']").first.click()
        expect(note).to_be_visible()
        expect(page).to_have_url(re.compile(f"#/experiments/{TRAIN}/"))
