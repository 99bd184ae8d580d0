"""The pages: what must be on them, links that lead somewhere, and nothing that could run."""

import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from spanbook_runfile import names
from spanbook_runfile.samples import golden, wide
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.settings import Report, Settings

from .conftest import Site, build

SCRIPTS = {"application/json"}  # inert types of an inline script


class Page(HTMLParser):
    """The links, ids and active parts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.active: list[str] = []
        self.text: list[str] = []
        self._skip = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag bears."""
        found = dict(attrs)
        self._skip = tag in ("script", "style")
        if tag == "script" and "src" not in found and found.get("type") not in SCRIPTS:
            self.active.append("inline script")
        self.active += [name for name in found if name.startswith("on") or name == "style"]
        self.links += [found[k] or "" for k in ("href", "src") if k in found]
        if "id" in found:
            self.ids.append(found["id"] or "")

    def handle_data(self, data: str) -> None:
        """Keep the text that people see."""
        if not self._skip:
            self.text.append(data)


def pages(site: Site) -> Iterator[tuple[str, str]]:
    """Every page of the site but the frames of untrusted HTML, and MLflow's own."""
    for path in sorted(site.out.rglob("*.html")):
        address = path.relative_to(site.out).as_posix()
        text = path.read_text(encoding="utf-8")
        if "srcdoc=" not in text and not address.startswith("mlflow/"):
            yield address, text


def test_every_internal_link_leads_to_a_file(site: Site) -> None:
    """No page links to a file that is not there, or to a fragment that its page does not have."""
    known = {a: set(Page(t).ids) for a, t in pages(site)}
    checked = 0
    for address, text in pages(site):
        for link in Page(text).links:
            url = urlsplit(link)
            if url.scheme:
                assert url.scheme in ("https", "http", "data"), (address, link)
                continue
            target = (
                (site.out / address).parent / unquote(url.path) if url.path else site.out / address
            )
            assert target.resolve().is_relative_to(site.out.resolve()), (address, link)
            assert target.is_file(), (address, link)
            where = target.resolve().relative_to(site.out.resolve()).as_posix()
            if url.fragment and "=" not in url.fragment and where in known:  # else a view's state
                assert unquote(url.fragment) in known[where], (address, link)
            checked += 1
    assert checked > 1000


def test_links_name_their_file(site: Site) -> None:
    """Every link names a file and none starts at the root, so that the site works from any place."""
    for address, text in pages(site):
        for link in Page(text).links:
            assert not link.startswith("/"), (address, link)
            assert not urlsplit(link).path.endswith("/") or urlsplit(link).scheme, (address, link)


def test_no_page_can_run_what_a_run_file_says(site: Site) -> None:
    """Pages hold no inline script, handler or style, and a policy that forbids them."""
    for address, text in pages(site):
        own = ["inline script"] if address == "404.html" else []  # it stands alone: see its test
        assert Page(text).active == own, address
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
        assert policy, address
        assert "default-src &#39;none&#39;" in policy[1]
        assert "unsafe-inline" not in policy[1]


def test_ids_are_unique(site: Site) -> None:
    """Within a page an id is given once: live updates and links rely on it."""
    for address, text in pages(site):
        ids = Page(text).ids
        assert len(ids) == len(set(ids)), (address, sorted({i for i in ids if ids.count(i) > 1}))


def test_files_that_a_browser_would_run_are_not_served_as_such(site: Site) -> None:
    """No artifact keeps a suffix that a server gives an active type."""
    active = {".html", ".htm", ".svg", ".xml", ".xhtml", ".js", ".mjs", ".css", ".wasm", ".swf"}
    found = [p for p in site.out.rglob("files/**/*") if p.is_file()]
    assert len(found) > 20
    assert not [p for p in found if p.suffix.lower() in active]


def test_untrusted_html_lies_in_a_frame_without_origin(site: Site) -> None:
    """A notebook or HTML file is one sandboxed frame, without same-origin, under a policy without network."""
    frames = [p.read_text() for p in site.out.rglob("views/**/*.html")]
    frames = [text for text in frames if "srcdoc=" in text]
    assert len(frames) > 5
    for text in frames:
        (sandbox,) = re.findall(r'sandbox="([^"]*)"', text.split("srcdoc=")[0])
        assert sandbox == "allow-scripts"
        assert "default-src &#39;none&#39;" in text
        body = text.split('srcdoc="')[1].split('"')[0]
        assert "<" not in body


def test_the_run_page_answers_what_failed_and_why(site: Site) -> None:
    """A failed run names the task at fault, its error and its traceback on top, and links to it."""
    page = site.run("failed")
    text = " ".join(Page(page).text)
    assert "split_train_test" in text
    assert "train_size=1.7 should be in the (0, 1) range" in text
    assert "Traceback" in text
    assert page.index('id="failure"') < page.index('id="graph"')
    assert "skipped because of split_train_test" in text


def test_the_reason_of_a_failure_is_in_the_run_list(site: Site) -> None:
    """One sees on the home page why a run failed."""
    assert "train_size=1.7 should be in the (0, 1) range" in site.read("index.html")


def test_mapped_tasks_are_told_apart(site: Site) -> None:
    """In graph, Gantt chart and table each run of a mapped task bears the parameter that differs."""
    page = site.run("ok")
    for part in ('class="dag"', 'id="gantt"', 'id="task-table"', 'id="metrics"'):
        rest = page[page.index(part) :]
        for size in (400, 500, 600):
            assert f"nr_train_images={size}" in rest[:20_000], (part, size)


def test_the_graph_links_every_task_and_has_words(site: Site) -> None:
    """Each box of the graph leads to its task's page, and the graph can be read as text."""
    page = site.run("ok")
    graph = page[page.index('<svg class="dag"') : page.index("</svg>", page.index('class="dag"'))]
    tasks = json.loads(site.read(f"runs/{site.id('ok')}/summary.json"))["tasks"]
    for task in tasks:
        assert f'href="tasks/{task["id"]}/index.html"' in graph
        assert f'data-task="{task["id"]}"' in graph
    assert "after ingest" in page


def test_a_run_of_a_thousand_tasks_is_folded(tmp_path: Path) -> None:
    """A thousand tasks of seven names are seven boxes, and the page stays small."""
    run = wide(1000)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{run.id}.json").write_bytes(run.sealed())
    build(tmp_path, tmp_path / "site")
    page = (tmp_path / "site" / "runs" / run.id / "index.html").read_text()
    assert page.count('class="node ') == 7
    assert "143 runs" in page
    assert "All 1000 tasks" in page
    assert len(page) < 250_000


def test_a_run_page_is_small(site: Site) -> None:
    """A run's page takes less than 150 KB without its figures."""
    assert len(site.run("ok")) < 150_000


def test_retries_show_each_try(site: Site) -> None:
    """A task that was retried shows every try with its own error and log."""
    run = json.loads(site.read(f"runs/{site.id('retried')}/summary.json"))
    task = max(run["tasks"], key=lambda t: t["attempts"])
    assert task["attempts"] > 1
    page = site.read(f"runs/{site.id('retried')}/tasks/{task['id']}/index.html")
    for number in range(1, task["attempts"] + 1):
        assert f"Try {number}" in page


def test_tables_are_read_by_pandas(site: Site) -> None:
    """The Parquet files hold every sealed run, task, metric and parameter."""
    read = {
        n: pd.read_parquet(site.out / "data" / f"{n}.parquet")
        for n in ("runs", "tasks", "metrics", "parameters")
    }
    assert site.id("ok") in set(read["runs"]["run"])
    tasks = read["tasks"][read["tasks"]["run"] == site.id("ok")]
    assert len(tasks) == 10
    metrics = read["metrics"][
        (read["metrics"]["run"] == site.id("ok")) & (read["metrics"]["key"] == "accuracy")
    ]
    assert len(metrics) == 3
    parameters = read["parameters"][read["parameters"]["run"] == site.id("ok")]
    assert set(parameters[parameters["key"] == "nr_train_images"]["number"]) == {400, 500, 600}
    assert (
        pd.read_csv(site.out / "data" / "runs.csv")["run"].tolist() == read["runs"]["run"].tolist()
    )


def test_no_csv_cell_is_a_formula(site: Site) -> None:
    """A spreadsheet that opens the CSV files runs nothing."""
    for name in ("runs", "tasks"):
        frame = pd.read_csv(site.out / "data" / f"{name}.csv", dtype=str).fillna("")
        assert not frame.map(lambda cell: cell.startswith(("=", "+", "-", "@"))).any(axis=None)


def test_json_is_json_and_scripts_hold_the_same(site: Site) -> None:
    """Each data file parses, without NaN, and its script twin sets just that."""
    twins = 0
    for path in (site.out / "data").rglob("*.json"):
        value = json.loads(path.read_bytes(), parse_constant=pytest.fail)
        script = path.with_suffix(".js")
        if script.exists():
            name = path.relative_to(site.out).with_suffix("").as_posix()
            body = script.read_text().split(f'spanbook.data["{name}"]=')[1].rstrip(";\n")
            assert json.loads(body) == value
            twins += 1
    assert twins > 5


def test_the_feed_is_atom(site: Site) -> None:
    """The feed parses and has an entry for each run with a link to its page."""
    feed = ET.fromstring(site.read("data/feed.xml"))
    space = {"a": "http://www.w3.org/2005/Atom"}
    links = [e.find("a:link", space) for e in feed.findall("a:entry", space)]
    hrefs = [link.get("href", "") for link in links if link is not None]
    assert f"../runs/{site.id('ok')}/index.html" in hrefs


def test_the_badge_is_a_shields_endpoint(site: Site) -> None:
    """The badge has what shields.io asks for."""
    badge = json.loads(site.read("data/badge.json"))
    assert badge["schemaVersion"] == 1
    assert badge.keys() == {"schemaVersion", "label", "message", "color"}


def test_a_run_offers_what_the_ancestor_had(site: Site) -> None:
    """dag.mmd, gantt.mmd and run-time-metadata.json lie beside the page, and the run file unchanged."""
    folder = f"runs/{site.id('ok')}"
    assert site.read(f"{folder}/dag.mmd").startswith("flowchart LR")
    assert site.read(f"{folder}/gantt.mmd").startswith("gantt")
    metadata = json.loads(site.read(f"{folder}/run-time-metadata.json"))
    assert len(metadata["task_dependencies"]) == 11
    copy = site.out / folder / f"{site.id('ok')}.json"
    assert copy.read_bytes() == site.files["ok"].read_bytes()


def test_the_perfetto_trace_has_every_attempt(site: Site) -> None:
    """The trace has a slice for each try, and keeps the rules of the trace event format.

    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: metadata names
    tracks, complete events have ts and dur, and those of one track follow or hold each other.
    """
    for sample in ("ok", "retried", "cancelled", "wide", "hostile", "ancient", "distant"):
        trace = json.loads(site.read(f"runs/{site.id(sample)}/trace.perfetto.json"))
        run = json.loads(site.read(f"runs/{site.id(sample)}/summary.json"))
        events = trace["traceEvents"]
        named = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
        for event in events:
            assert isinstance(event["name"], str)
            assert isinstance(event["pid"], int)
            assert isinstance(event["args"], dict)
            assert math.isfinite(event.get("ts", 0))
            assert isinstance(event.get("tid", 0), int)
        slices = [e for e in events if e["ph"] == "X"]
        tries = [e for e in slices if "#" in e["name"]]
        ended = sum(1 for t in run["tasks"] for _ in range(t["attempts"]))
        assert len(tries) <= ended
        assert len(tries) > 0
        assert {e["ph"] for e in events} <= {"M", "X", "C"}
        assert {e["tid"] for e in slices} <= named
        for event in slices:
            assert event["dur"] >= 0
            assert abs(event["ts"]) < 1e12
        for track in named:
            held = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == track)
            for (_, end), (start, _) in pairwise(held):
                assert start >= end - 1e-3, "a slice overlaps the one before"
        for event in (e for e in events if e["ph"] == "C"):
            assert all(isinstance(v, int | float) for v in event["args"].values())


def test_reports_show_the_newest_good_run(site: Site, tmp_path: Path) -> None:
    """A pinned report is a page in the navigation with the newest good main run's notebook."""
    settings = Settings(
        reports=(Report("Model quality", "summary"), Report("Nothing", "no-such-task"))
    )
    build(site.outputs, tmp_path / "site", settings)
    page = (tmp_path / "site" / "reports" / "model-quality.html").read_text()
    assert 'sandbox="allow-scripts"' in page
    assert "views/notebooks/summary.ipynb.html" in page
    assert "No good run" in (tmp_path / "site" / "reports" / "nothing.html").read_text()
    assert "reports/index.html" in (tmp_path / "site" / "index.html").read_text()


def test_about_is_markdown_without_html(site: Site, tmp_path: Path) -> None:
    """The project's own Markdown is shown; HTML in it is text."""
    build(
        site.outputs,
        tmp_path / "site",
        Settings(about="# Digits\n\n<script>alert(1)</script> *daily*"),
    )
    page = (tmp_path / "site" / "about.html").read_text()
    assert "<h1>Digits</h1>" in page
    assert "<em>daily</em>" in page
    assert "&lt;script&gt;" in page


def test_an_empty_site_teaches(tmp_path: Path) -> None:
    """Without a run the home page says how to get one."""
    (tmp_path / "runs").mkdir()
    build(tmp_path, tmp_path / "site")
    assert "spanbook run" in (tmp_path / "site" / "index.html").read_text()


def test_seal_losses_are_told(site: Site) -> None:
    """A run sealed without all that its runner declared says what is missing, or that the runner died."""
    assert "The runner never said that the run ended" in site.run("interrupted")


def test_a_run_bears_the_name_it_was_given(tmp_path: Path) -> None:
    """What MLflow's client called a run is its name in the list where it has no commit, and beside it where it has."""
    for name, context in (("plain", {}), ("committed", {names.COMMIT_TITLE: "Fix it"})):
        run = SampleRun(name, resource=context)
        attempt = run.task("train").attempt(0.0)
        attempt.tag(0.1, "mlflow.runName", f"{name}-owl")
        attempt.end(1.0).end()
        path = tmp_path / "runs" / f"{run.id}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(run.finish().sealed())
    build(tmp_path, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert ">plain-owl</a>" in page
    assert ">Fix it</a>" in page
    assert "committed-owl" in page


def test_a_parameter_of_several_lines_keeps_them(tmp_path: Path) -> None:
    """A parameter's new lines are lines on the page of its task."""
    run = SampleRun("lines")
    task = run.task("query")
    attempt = task.attempt(0.0)
    attempt.parameters(0.1, sql="SELECT 1\nFROM <t>")
    attempt.end(1.0).end()
    path = tmp_path / "runs" / f"{run.id}.json"
    path.parent.mkdir()
    path.write_bytes(run.finish().sealed())
    build(tmp_path, tmp_path / "site")
    page = next((tmp_path / "site" / "runs" / run.id / "tasks").glob("*/index.html")).read_text()
    assert '<pre class="value">SELECT 1\nFROM &lt;t&gt;</pre>' in page


def test_a_report_opens_with_its_code_folded(tmp_path: Path) -> None:
    """The notebook of a report shows its results; its code is a tick away, and open on the task's own page."""
    path = tmp_path / "runs" / f"{golden.ok().id}.json"
    path.parent.mkdir()
    path.write_bytes(golden.ok().sealed())
    build(tmp_path, tmp_path / "site", Settings(reports=(Report("Quality", "summary"),)))
    report = (tmp_path / "site" / "reports" / "quality.view.html").read_text()
    own = next((tmp_path / "site" / "runs").rglob("*.ipynb.html")).read_text()
    box = "type=&#34;checkbox&#34; id=&#34;code&#34;"
    assert f"{box}&gt;" in report
    assert f"{box} checked&gt;" in own
    assert 'src="quality.view.html"' in (tmp_path / "site" / "reports" / "quality.html").read_text()
