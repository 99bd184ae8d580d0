"""A run in progress, from its journal through the real builder and viewer into an open page."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from spanbook_runfile.journal import MAGIC, frame
from spanbook_runfile.samples import golden, sealed
from spanbook_runfile.samples.builder import SampleAttempt, SampleRun
from support.browser import Faults
from support.viewers import viewing

from .conftest import BUILDER, environment


class Live:
    """A run that goes on, its builder and its viewer."""

    def __init__(self, outputs: Path, url: str) -> None:
        self.outputs, self.url = outputs, url
        self.run: SampleRun = golden.running()
        self.written = 0
        self.attempt: SampleAttempt = next(
            t for t in self.run.tasks if t.name == "train_model"
        ).attempts_made[0]
        self.task = self.attempt.task
        self.page = f"{url}runs/{self.run.id}/index.html"
        self.task_page = f"{url}runs/{self.run.id}/tasks/{self.task.id}/index.html"

    def write(self) -> None:
        """Append to the journal what was sent since the last time, as the collector does."""
        path = self.outputs / "journals" / f"{self.run.id}.journal"
        new = b"" if path.exists() else MAGIC
        for _, signal, item in self.run.sent[self.written :]:
            new += frame(signal, self.run._request(signal, [item]))
        self.written = len(self.run.sent)
        with path.open("ab") as journal:
            journal.write(new)

    def seal(self) -> None:
        """The run ends: its file appears and its journal goes."""
        for task in self.run.tasks:
            task.end(at=20.0)
        self.run.finish()
        (self.outputs / "runs" / f"{self.run.id}.json").write_bytes(self.run.sealed())
        (self.outputs / "journals" / f"{self.run.id}.journal").unlink()


@pytest.fixture
def live(tmp_path: Path, faults: Faults) -> Iterator[Live]:
    """A watching builder and a viewer, before the first run."""
    faults.expect("503 (SERVICE UNAVAILABLE)", "404 (NOT FOUND)")  # the pages that wait
    for name in ("runs", "journals"):
        (tmp_path / name).mkdir()
    command = [BUILDER, "build", "--runs", "runs", "--out", "site", "--watch", "--quiet"]
    builder = subprocess.Popen(command, cwd=tmp_path, env=environment())
    try:
        with viewing(tmp_path / "site", tmp_path / "runs") as viewer:
            yield Live(tmp_path, viewer.url)
    finally:
        builder.terminate()
        builder.wait(30)


def stamp(page: Page) -> None:
    """Mark the page, so that a reload would be seen."""
    page.evaluate("window.stamped = true")


def stamped(page: Page) -> bool:
    """Whether it is still the same page."""
    return bool(page.evaluate("window.stamped === true"))


def test_run_shows_its_progress_without_a_reload(live: Live, page: Page) -> None:
    """Tasks change state, log lines arrive, and the seal comes, in the page as it was opened."""
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    live.write()
    page.goto(live.url)
    page.wait_for_url(live.url)  # may be the page that waits for the first build
    expect(page.locator(f"tr[data-id='{live.run.id}']")).to_contain_text("running")
    page.goto(live.page)
    expect(page.locator("#head")).to_be_visible()
    stamp(page)
    row = page.locator(f"#t-{live.task.id}")
    expect(row).to_contain_text("running")
    live.attempt.line(11.0, "epoch 11 of 100")
    live.write()
    expect(page.locator(f"#log-{live.task.id}")).to_contain_text("epoch 11 of 100")
    live.attempt.end(12.0)
    live.task.end()
    live.write()
    expect(row).to_contain_text("ok")
    expect(page.locator(f"#dag-{live.task.id}")).to_have_class(re.compile("s-success"))
    live.seal()
    expect(page.locator("#head .state")).to_have_text("ok")
    assert stamped(page)
    expect.set_options(timeout=5_000)


def settled(page: Page) -> None:
    """Wait for the end of a smooth scroll."""
    page.evaluate(
        """() => new Promise((done) => {
            let last = -1;
            const timer = setInterval(() => {
                if (scrollY === last) { clearInterval(timer); done(); }
                last = scrollY;
            }, 150);
        })"""
    )


def test_reader_is_not_disturbed_by_updates(live: Live, page: Page) -> None:
    """Opened details, the scroll of a log, focus and the selected task stay through an update."""
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    for number in range(60):
        live.attempt.line(5 + number / 100, f"line {number}")
    live.write()
    page.goto(live.page)  # may be the page that waits for the run
    expect(page.locator(f"#t-{live.task.id}")).to_be_visible()
    stamp(page)
    page.locator("#context details summary").click()
    page.locator("#log-" + live.task.id).evaluate("log => log.closest('details').open = true")
    page.locator(f"svg.dag [data-task='{live.task.id}']").click()
    link = page.locator("#head a, #facts a, .crumbs a").first
    link.focus()
    where = page.evaluate("document.activeElement.outerHTML")
    log = page.locator("#log-" + live.task.id)
    log.evaluate("log => { log.scrollTop = 10; }")
    settled(page)
    read = log.locator("span.l").nth(12).element_handle()
    place = "line => line.getBoundingClientRect().top"
    before = read.evaluate(place)
    live.attempt.line(11.0, "the newest line")
    live.write()
    expect(log).to_contain_text("the newest line")
    assert stamped(page)
    assert read.evaluate("line => line.isConnected"), "the log was replaced, not added to"
    assert abs(read.evaluate(place) - before) <= 1, "the line that was read moved"
    assert page.locator("#context details").evaluate("one => one.open")
    assert page.evaluate("document.activeElement.outerHTML") == where
    expect(page.locator(f"svg.dag [data-task='{live.task.id}']")).to_have_class(
        re.compile("selected")
    )
    expect.set_options(timeout=5_000)


def test_first_page_waits_and_turns_into_the_site(
    page: Page, tmp_path: Path, faults: Faults
) -> None:
    """Opened before the first build, the viewer says what it waits for, then shows the site."""
    faults.expect("503 (SERVICE UNAVAILABLE)")
    (tmp_path / "runs").mkdir()
    with viewing(tmp_path / "site", tmp_path / "runs") as viewer:
        page.goto(viewer.url)
        expect(page.locator("h1")).to_have_text("No site here yet")
        command = [BUILDER, "build", "--runs", "runs", "--out", "site", "--quiet"]
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True, timeout=120)
        expect(page.locator("main#main h1")).to_be_visible(timeout=30_000)
        page.close()


def test_link_to_a_run_that_begins_turns_into_the_run(
    live: Live, page: Page, faults: Faults
) -> None:
    """The link that a runner prints before the first build has the run waits for it, and shows it."""
    faults.expect("history.js")  # the first run of a task has no history
    page.goto(live.url)
    expect(page.locator("main#main h1")).to_be_visible(timeout=60_000)
    answer = page.goto(live.task_page)
    assert answer
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("This run is not here yet")
    live.write()
    expect(page.locator("#head h1")).to_contain_text(live.task.name, timeout=60_000)


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file on the page, as a file manager does."""
    page.evaluate(
        """([name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name));
          for (const type of ["dragover", "drop"]) {
            const how = {dataTransfer: data, bubbles: true, cancelable: true};
            document.querySelector("main").dispatchEvent(new DragEvent(type, how));
          }
        }""",
        [name, list(content)],
    )


def test_dropped_run_file_is_imported_and_shows(live: Live, page: Page) -> None:
    """A run file dropped on the page is checked and kept, and its row comes by itself."""
    live.write()
    page.goto(live.url)
    expect(page.locator("#runs tbody tr")).to_have_count(1, timeout=60_000)
    stamp(page)
    drop(page, "some.json", sealed("ok"))
    expect(page.locator(".import")).to_contain_text("is imported")
    expect(page.locator(f"tr[data-id='{golden.ok().id}']")).to_be_visible(timeout=60_000)
    assert stamped(page)
    assert (live.outputs / "runs" / f"{golden.ok().id}.json").read_bytes() == sealed("ok")


def test_import_by_keyboard_tells_what_is_wrong(live: Live, page: Page, faults: Faults) -> None:
    """The button takes files too; what is no run file is refused with the reason."""
    faults.expect("422")
    live.write()
    page.goto(live.url)
    expect(page.locator("#runs tbody tr")).to_have_count(1, timeout=60_000)
    page.locator("[data-import] input[type=file]").set_input_files(
        files=[{"name": "notes.json", "mimeType": "application/json", "buffer": b"[]"}]
    )
    expect(page.locator(".import")).to_contain_text("notes.json")
    page.set_viewport_size({"width": 390, "height": 300})  # far from the end of the page
    expect(page.locator(".import")).to_be_in_viewport(ratio=1)
    expect(page.locator(".import")).to_contain_text("no run file")
    page.locator(".import").get_by_role("button", name="Close").click()
    expect(page.locator(".import")).to_be_hidden()


def test_other_servers_are_not_asked_for_events(page: Page, served: str) -> None:
    """On Pages the same page asks nothing of its host but its own files."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served}index.html")
    page.wait_for_timeout(300)
    assert not [url for url in asked if "/events" in url or "/healthz" in url]
    expect(page.locator("[data-import]")).to_be_hidden()


def test_a_new_metric_brings_its_column(live: Live, page: Page) -> None:
    """A metric that is logged while the page is open stands under a head of its own, on run and home page."""
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    live.write()
    page.goto(live.page)  # may be the page that waits for the run
    heads = page.locator("#run-metrics thead th[data-key]")
    expect(heads).to_have_count(2)  # task, loss
    stamp(page)
    live.attempt.metric(11.0, "accuracy", 0.75)
    live.write()
    expect(heads).to_have_count(3)
    keys = heads.evaluate_all("heads => heads.map((head) => head.dataset.key)")
    row = page.locator(f"#run-metrics tbody tr[data-task='{live.task.id}'] > *")
    expect(row.nth(keys.index("accuracy"))).to_have_text("0.7500")
    expect(page.locator("#run-metrics .table-tools")).to_have_count(1)
    assert stamped(page)
    expect.set_options(timeout=5_000)
