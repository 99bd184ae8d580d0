"""What means harm, by itself and beside a good run: the list of the safety issue, item by item, in Chromium."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Page, expect
from pyarrow import parquet
from spanbook_runfile import names
from spanbook_runfile.names import ArtifactKind, Result
from spanbook_runfile.samples import golden, hostile
from spanbook_runfile.samples.builder import SampleRun
from support.browser import Faults
from support.viewers import static_server, viewing

from .conftest import build

NO_ORIGIN = (
    "net::ERR",
    "404",
    "Content Security Policy",
    "POLICY",
    "sandboxed",
    "Unsafe attempt",
    "permission to navigate",
)
TAKE = "try{top.document.body.dataset.taken=1;localStorage.setItem('taken',1)}catch(e){}"
MANY_TASKS = 100_000


def in_every_field() -> SampleRun:
    """Script in each field that reaches a page, and paths that climb."""
    return hostile.hostile()


def scripted_files() -> SampleRun:
    """A notebook, an HTML file and an SVG file that reach for the site."""
    run = SampleRun("scripted files")
    attempt = run.task("files").attempt(0.0)
    script = f'<script>{TAKE}</script><img src=x onerror="{TAKE}">'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{TAKE}"><script>{TAKE}</script></svg>'
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": script}
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    attempt.artifact(0.1, "page.html", script.encode(), "text/html")
    attempt.artifact(0.1, "figure.svg", svg.encode(), "image/svg+xml", ArtifactKind.FIGURE)
    kind = ArtifactKind.NOTEBOOK
    attempt.artifact(0.1, "book.ipynb", orjson.dumps(book), "application/x-ipynb+json", kind)
    return attempt.end(1.0).end().run.finish()


def scripted_links() -> SampleRun:
    """Links that are scripts, in the context, a notebook and a model; tables of formulas and of too much."""
    link = f"javascript:{TAKE}"
    context = {names.REPOSITORY_URL: link, names.PIPELINE_RUN_URL: link, names.REF_REVISION: link}
    run = SampleRun("scripted links", resource=context)
    attempt = run.task("links").attempt(0.0)
    source = (
        f"[a]({link}) <a href='{link}' target='_top'>b</a> ![c]({link}) $\\href{{{link}}}{{d}}$"
    )
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": source}
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    kind = ArtifactKind.NOTEBOOK
    attempt.artifact(0.1, "book.ipynb", orjson.dumps(book), "application/x-ipynb+json", kind)
    image = f"<img src=x onerror={TAKE}>"
    put = helper.make_tensor_value_info(image, TensorProto.FLOAT, [image, 1 << 40])
    graph = helper.make_graph([helper.make_node(image, [image], [image])], image, [put], [put])
    model = helper.make_model(graph, producer_name=image, doc_string=image)
    content = model.SerializeToString()
    attempt.artifact(0.1, "model.onnx", content, "application/onnx", ArtifactKind.MODEL)
    attempt.artifact(0.1, "wide.csv", b",".join([b"=1+1"] * 200_000), "text/csv")
    attempt.artifact(0.1, "deep.json", b"[" * 1000 + b"]" * 1000, "application/json")
    ones = io.BytesIO()
    parquet.write_table(pa.table({image: pa.array([image * 10]).take([0] * 500_000)}), ones)
    attempt.artifact(0.1, "long.parquet", ones.getvalue(), "application/vnd.apache.parquet")
    return attempt.end(1.0).end().run.finish()


def climbing_paths() -> SampleRun:
    """Artifacts that would lie outside the site's folder, or under another run's name."""
    run = SampleRun("climbing paths")
    attempt = run.task("../../../climb").attempt(0.0)
    for path in (
        "../../x",
        "C:\\x",
        "/etc/passwd",
        "..\\..\\x",
        "../../../index.html",
        "a/../../../b",
    ):
        attempt.artifact(0.1, path, b"climbed", "text/plain")
    return attempt.end(1.0).end().run.finish()


def long_names() -> SampleRun:
    """Names of 10,000 characters, some that turn the reading direction, some of control characters."""
    run = SampleRun("long names", pipeline="n" * 10_000)
    for name in ("t" * 10_000, "w o r d " * 1250, hostile.RTL * 100, hostile.CONTROL * 100):
        attempt = run.task(name).attempt(0.0)
        attempt.parameters(0.1, **{name: name})
        attempt.metric(0.2, name, 1)
        attempt.line(0.3, name)
        attempt.artifact(0.4, name, b"long", "text/plain")
        attempt.end(1.0).end()
    return run.finish()


def declared_size() -> SampleRun:
    """An artifact that says it has 2 GB and brings four bytes."""
    run = SampleRun("declared size")
    attempt = run.task("liar").attempt(0.0)
    attempt.artifact(0.1, "liar.bin", b"tiny", "application/octet-stream", size=2 << 30)
    return attempt.end(1.0).end().run.finish()


def cyclic_links() -> SampleRun:
    """Two tasks that each wait for the other, and one that waits for itself."""
    run = SampleRun("cyclic links")
    first, second, third = run.task("first"), run.task("second"), run.task("third")
    first.after.append(second)
    second.after.append(first)
    third.after.append(third)
    for task in (first, second, third):
        task.attempt(0.0).end(1.0)
        task.end(Result.SUCCESS)
    return run.finish()


@dataclass(frozen=True)
class Case:
    """A file that means harm: the run's id, and the bytes."""

    id: str
    content: bytes


def _sealed(make: Callable[[], SampleRun]) -> Callable[[], Case]:
    def case() -> Case:
        run = make()
        return Case(run.id, run.sealed())

    return case


CASES: dict[str, Callable[[], Case]] = {
    "script in every field": _sealed(in_every_field),
    "script in files": _sealed(scripted_files),
    "script in links": _sealed(scripted_links),
    "climbing paths": _sealed(climbing_paths),
    "long, turned and control names": _sealed(long_names),
    "2 GB declared": _sealed(declared_size),
    "cyclic links": _sealed(cyclic_links),
    "one id twice": lambda: Case(golden.ok("tampered").id, hostile.tampered()),
    "1970": _sealed(hostile.ancient),
    "2262": _sealed(hostile.distant),
}


@dataclass(frozen=True)
class Harmed:
    """The site of every case and of one good run."""

    outputs: Path
    ids: dict[str, str]
    before: set[str]

    @property
    def site(self) -> Path:
        """Its folder."""
        return self.outputs / "site"


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Harmed:
    """One build of them all, in a folder deep enough that a climbing path would be seen."""
    top = tmp_path_factory.mktemp("harm")
    outputs = top / "a" / "b" / "outputs"
    (outputs / "runs").mkdir(parents=True)
    good = golden.ok()
    (outputs / "runs" / f"{good.id}.json").write_bytes(good.sealed())
    ids = {}
    for name, make in CASES.items():
        case = make()
        ids[name] = case.id
        (outputs / "runs" / f"{case.id}.json").write_bytes(case.content)
    before = {p.relative_to(top).as_posix() for p in top.rglob("*")}
    build(outputs)
    after = {p.relative_to(top).as_posix() for p in top.rglob("*")}
    return Harmed(outputs, ids, {p for p in after - before if not p.startswith("a/b/outputs/site")})


def untouched(page: Page) -> bool:
    """Whether nothing got hold of the page or of its origin's storage."""
    return not page.evaluate("'taken' in document.body.dataset || localStorage.getItem('taken')")


def test_nothing_is_written_outside_the_site(harmed: Harmed) -> None:
    """Whatever the paths say, every new file lies below the output folder."""
    assert harmed.before == set()


@pytest.mark.parametrize("name", CASES)
def test_harm_stays_in_its_own_pages(harmed: Harmed, page: Page, faults: Faults, name: str) -> None:
    """Each page of the run opens, says what it is, and nothing of it runs in the site's origin."""
    faults.expect(*NO_ORIGIN)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    run = harmed.site / "runs" / harmed.ids[name]
    pages = sorted(run.rglob("*.html"))
    assert run / "index.html" in pages
    with static_server(harmed.outputs) as url:
        for path in pages[:12]:
            address = f"{url}site/{path.relative_to(harmed.site).as_posix()}"
            page.goto(address)
            page.wait_for_timeout(100)  # what would run had time to
            assert page.url == address
            assert untouched(page)
            assert page.locator("a[href^='javascript' i]").count() == 0
        page.goto(f"{url}site/runs/{harmed.ids[name]}/index.html")
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.goto("about:blank")
    assert dialogs == []


def test_site_of_the_other_runs_is_whole(harmed: Harmed, page: Page, faults: Faults) -> None:
    """Beside all of them the good run is listed, its page has its graph, and it can be compared."""
    faults.expect(*NO_ORIGIN)
    good = golden.ok().id
    with static_server(harmed.outputs) as url:
        page.goto(f"{url}site/index.html")
        page.locator(f"tr[data-id='{good}'] .row-link").click()
        expect(page.locator("svg.dag a.node")).to_have_count(10)
        expect(page.locator("#gantt li")).to_have_count(10)
        page.goto(f"{url}site/compare.html#runs={good},{harmed.ids['script in every field']}")
        expect(page.locator("table.comparison thead th")).to_have_count(2)
        for address in ("tasks/index.html", "trends/index.html", "tasks/train_model/index.html"):
            page.goto(f"{url}site/{address}")
            expect(page.locator("table tbody tr").first).to_be_visible()
            assert untouched(page)
        page.goto("about:blank")


def test_hundred_thousand_tasks_are_one_page_that_opens(
    tmp_path: Path, page: Page, faults: Faults
) -> None:
    """A run of 1e5 tasks is built, its page is of bounded size and folded, and the good run stays."""
    (tmp_path / "runs").mkdir()
    good, large = golden.ok(), SampleRun("many tasks")
    template = large.task("mapped")
    template.attempt(0.0).end(1.0).end()
    whole = large.finish().sealed()
    content = multiplied(whole, template.id, MANY_TASKS)
    (tmp_path / "runs" / f"{good.id}.json").write_bytes(good.sealed())
    (tmp_path / "runs" / f"{large.id}.json").write_bytes(content)
    site = build(tmp_path)
    assert (site / "runs" / large.id / "index.html").stat().st_size < 1_000_000
    page.goto((site / "runs" / large.id / "index.html").as_uri())
    expect(page.locator("#tasks h2")).to_contain_text("100000")
    expect(page.locator("svg.dag .node")).to_have_count(1)
    page.goto((site / "index.html").as_uri())
    expect(page.locator("#runs tbody tr")).to_have_count(2)


def multiplied(content: bytes, task_id: str, count: int) -> bytes:
    """A run file in which one task's span is there ``count`` times, each with an id of its own."""
    whole = orjson.loads(content)
    spans = whole["resourceSpans"][0]["scopeSpans"][0]["spans"]
    one = next(span for span in spans if span["spanId"] == task_id)
    spans += [{**one, "spanId": f"{number:016x}"} for number in range(1, count)]
    return orjson.dumps(whole)


def test_zip_bomb_dropped_on_the_viewer_is_refused(
    tmp_path: Path, page: Page, faults: Faults
) -> None:
    """A zip that unpacks to a hundred times its size is refused by name; no run is added."""
    faults.expect("413", "422", "400")
    (tmp_path / "runs").mkdir()
    good = golden.ok()
    (tmp_path / "runs" / f"{good.id}.json").write_bytes(good.sealed())
    site = build(tmp_path)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{'a' * 32}.json", b'{"resourceSpans": [' + b" " * (80 << 20) + b"]}")
    with viewing(site, tmp_path / "runs") as viewer:
        page.goto(viewer.url)
        page.locator("[data-import] input[type=file]").set_input_files(
            files=[
                {"name": "artifact.zip", "mimeType": "application/zip", "buffer": bomb.getvalue()}
            ]
        )
        expect(page.locator(".import")).to_contain_text("over the size limit", timeout=30_000)
        page.close()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [f"{good.id}.json"]
