"""In a real browser: nothing of a hostile run file runs in the site's origin, and all stays readable."""

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from spanbook_runfile.names import ArtifactKind
from spanbook_runfile.samples import golden
from spanbook_runfile.samples.builder import SampleRun
from support.browser import Faults, chromium, faults, page, plain_page

from .conftest import Site, build

__all__ = ["chromium", "faults", "page", "plain_page"]
pytestmark = pytest.mark.browser

PROBE = """<!doctype html><p id="p">inert</p><script>
document.getElementById('p').textContent = 'ran';
try { parent.document.title = 'taken'; } catch (e) {}
try { top.document.body.dataset.taken = 'yes'; } catch (e) {}
try { localStorage.setItem('taken', 'yes'); } catch (e) {}
fetch('https://example.com/leak').catch(() => 0);
new Image().src = 'https://example.com/leak.png';
try { top.location = 'https://example.com/'; } catch (e) {}
</script><img src=x onerror="try{top.document.body.dataset.taken='yes'}catch(e){}">"""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" onload="top.document.body.dataset.taken=1" width="9" height="9">'
    "<script>top.document.body.dataset.taken='yes'</script><rect width='9' height='9'/></svg>"
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain static server, as people use for a published site."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[str]:
    """The site under a sub-path of a plain static server."""
    (site.outputs / "www").mkdir(exist_ok=True)
    link = site.outputs / "www" / "sub"
    if not link.exists():
        link.symlink_to(site.out, target_is_directory=True)
    handler = partial(Quiet, directory=str(site.outputs / "www"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/sub"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def probe(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A run with HTML, SVG and a notebook that try to get out, added to the served site."""
    run = SampleRun("probe", pipeline="probe", start=golden.START + 30 * golden.DAY)
    task = run.task("probe")
    attempt = task.attempt(0.0)
    attempt.artifact(0.1, "probe.html", PROBE.encode(), "text/html")
    attempt.artifact(0.1, "probe.svg", SVG.encode(), "image/svg+xml", ArtifactKind.FIGURE)
    cell = {
        "cell_type": "code", "id": "c1", "metadata": {}, "source": "x", "execution_count": 1,
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"text/html": PROBE, "text/plain": "x"}}],
    }  # fmt: skip
    mark = {"cell_type": "markdown", "id": "m1", "metadata": {}, "source": PROBE}
    book = {"cells": [cell, mark], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    attempt.artifact(
        0.1,
        "probe.ipynb",
        json.dumps(book).encode(),
        "application/x-ipynb+json",
        ArtifactKind.NOTEBOOK,
    )
    attempt.end(1.0)
    task.end()
    run.finish()
    path = site.outputs / "runs" / f"{run.id}.json"
    path.write_bytes(run.sealed())
    build(site.outputs, site.out)
    folder = f"runs/{run.id}/tasks/{task.id}"
    return {"task": f"{folder}/index.html", "html": f"{folder}/views/probe.html.txt.html",
            "notebook": f"{folder}/views/probe.ipynb.html", "raw": f"{folder}/files/probe.html.txt",
            "svg": f"{folder}/files/probe.svg.txt"}  # fmt: skip


@pytest.fixture
def sent(page: Page) -> Iterator[list[str]]:
    """Requests to elsewhere that the policy did not stop (Chromium tells of those that it did, too)."""
    asked: list[str] = []
    stopped: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "example.com" in r.url else None)
    page.on(
        "requestfailed", lambda r: stopped.append(r.url) if "csp" in (r.failure or "") else None
    )
    left: list[str] = []
    yield left
    left += [url for url in asked if url not in stopped]
    assert left == [], (asked, stopped)


REFUSED = (
    "POLICY",
    "Content Security Policy",
    "Unsafe attempt",
    "sandboxed",
    "net::ERR",
    "404",
    "left the machine",
    "frame",
    "Unexpected token",
)


def taken(page: Page) -> bool:
    """Whether anything got hold of the page or its origin."""
    return bool(
        page.evaluate(
            "document.title === 'taken' || 'taken' in document.body.dataset || localStorage.getItem('taken') !== null"
        )
    )


@pytest.mark.parametrize("what", ["task", "html", "notebook", "raw", "svg"])
def test_an_artifact_cannot_reach_the_site(
    served: str, probe: dict[str, str], page: Page, faults: Faults, sent: list[str], what: str
) -> None:
    """HTML, SVG and notebooks, in their page or by their own address, neither take the origin nor call out."""
    faults.expect(*REFUSED)
    page.goto(f"{served}/{probe[what]}")
    for frame in page.frames:
        frame.wait_for_load_state()
    page.wait_for_timeout(500)
    assert page.url == f"{served}/{probe[what]}"
    assert not taken(page)


def test_an_artifacts_script_runs_where_it_does_no_harm(
    served: str, probe: dict[str, str], page: Page, faults: Faults, sent: list[str]
) -> None:
    """Scripts of an HTML artifact do run, in a frame without an origin: interactive figures stay interactive."""
    faults.expect(*REFUSED)
    page.goto(f"{served}/{probe['html']}")
    inner = page.frame_locator("iframe")
    inner.locator("#p", has_text="ran").wait_for()


def test_no_dialog_on_any_page_of_a_hostile_run(
    served: str, site: Site, page: Page, faults: Faults, sent: list[str]
) -> None:
    """Every page that shows a hostile file opens, without a dialog, an error, or a request elsewhere."""
    faults.expect(*REFUSED)
    dialogs: list[str] = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    run = site.id("hostile")
    addresses = [
        "index.html",
        "tasks/index.html",
        "trends/index.html",
        f"compare.html#runs={run},{site.id('ok')}",
    ]
    addresses += [
        p.relative_to(site.out).as_posix() for p in (site.out / "runs" / run).rglob("*.html")
    ]
    for address in addresses:
        page.goto(f"{served}/{address}")
        page.wait_for_timeout(50)
        assert page.evaluate("7*7") == 49
    assert dialogs == []
    assert len(addresses) > 12


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_pass_axe_and_fit(
    served: str, site: Site, page: Page, scheme: str, width: int
) -> None:
    """Runs, Run, Task run, Task, Trends and About pass axe's WCAG AA rules and never scroll sideways."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    run = json.loads(site.read(f"runs/{site.id('ok')}/summary.json"))
    task = next(t for t in run["tasks"] if t["name"] == "train_model")
    addresses = ["index.html", f"runs/{run['id']}/index.html", f"runs/{site.id('failed')}/index.html",
                 f"runs/{run['id']}/tasks/{task['id']}/index.html", "tasks/index.html", "tasks/train_model/index.html",
                 "trends/index.html", "compare.html", "about.html"]  # fmt: skip
    for address in addresses:
        page.goto(f"{served}/{address}")
        page.wait_for_timeout(300)
        results = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
        told = [(v["id"], v["nodes"][0]["html"][:160]) for v in results.response["violations"]]
        assert told == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address


def test_a_page_reads_without_javascript(served: str, site: Site, plain_page: Page) -> None:
    """Without JavaScript the run page has its graph, its chart and its tasks, and links work."""
    plain_page.goto(f"{served}/index.html")
    plain_page.locator(f'a[href="runs/{site.id("ok")}/index.html"].row-link').click()
    assert plain_page.locator("svg.dag a.node").count() == 10
    assert plain_page.locator("#gantt li").count() == 10
    plain_page.locator("svg.dag a.node").first.click()
    assert "ingest" in plain_page.locator("h1").inner_text()


def test_the_site_opens_from_files(site: Site, page: Page) -> None:
    """From file:// the pages open, with style, scripts and data."""
    page.goto((site.out / "index.html").as_uri())
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    assert page.evaluate("document.documentElement.classList.contains('js')")
    page.goto((site.out / "runs" / site.id("ok") / "index.html").as_uri())
    assert page.locator("svg.dag a.node").count() == 10
