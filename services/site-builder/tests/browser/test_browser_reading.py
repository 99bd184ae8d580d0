"""Every page opens from the disk and from a static server, in peace, with and without scripts."""

import pytest
from playwright.sync_api import Page, expect
from support.browser import Faults

from .conftest import Samples

EVERYWHERE = ("index.html", "tasks/index.html", "trends/index.html", "compare.html", "about.html")


def pages(samples: Samples) -> list[str]:
    """One page of each kind."""
    return [
        *EVERYWHERE,
        *(samples.run(name) for name in ("ok", "failed", "foreign", "empty", "wide", "running")),
        samples.task("ok", "train_model"),
        samples.task("ok", "benchmark-model"),
        samples.task("failed", "train_model"),
        "tasks/train_model/index.html",
        "trends/train_model.html",
    ]


def test_every_page_opens_without_a_fault(page: Page, base: str, samples: Samples) -> None:
    """No error, nothing that the policy forbids, no request to elsewhere, no missing file."""
    missing: list[str] = []
    aborted = "net::ERR_ABORTED"  # by going on to the next page while a picture loads
    page.on("requestfailed", lambda r: missing.append(r.url) if r.failure != aborted else None)
    page.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
    for path in pages(samples):
        page.goto(base + path)
        expect(page.locator("main h1").first).to_be_visible()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert missing == []


def test_hostile_run_runs_nothing(page: Page, faults: Faults, base: str, samples: Samples) -> None:
    """Script in every field of a run file stays text on every page of it.

    In its notebook and HTML files it runs, without an origin, and can neither ask nor go anywhere.
    """
    faults.expect(
        "The document is sandboxed",
        "Unsafe attempt to initiate navigation",
        "does not have permission",
    )
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    folder = samples.site / "runs" / samples.ids["hostile"]
    found = [path.relative_to(samples.site).as_posix() for path in folder.rglob("*.html")]
    assert len(found) > 5
    for path in found:
        page.goto(base + path)
        page.wait_for_timeout(50)
    assert dialogs == []


def test_runs_are_read_without_scripts(plain_page: Page, base: str, samples: Samples) -> None:
    """Without JavaScript one gets from the list to a run, a task and its numbers."""
    plain_page.goto(f"{base}index.html")
    row = plain_page.locator(f"tr[data-id='{samples.ids['ok']}']")
    expect(row).to_contain_text("mnist-digits")
    row.locator("a.row-link").click()
    expect(plain_page.locator("svg.dag a")).to_have_count(10)
    plain_page.locator("#task-table a.row-link", has_text="train_model").first.click()
    expect(plain_page.locator("#parameters")).to_contain_text("nr_train_images")
    expect(plain_page.locator("#metric-table")).to_contain_text("loss")
    expect(plain_page.locator("figure img").first).to_be_visible()


@pytest.mark.parametrize("selector", ["[data-theme-toggle]", "[data-import]"])
def test_without_scripts_there_are_no_dead_controls(
    plain_page: Page, served: str, selector: str
) -> None:
    """What only scripts can do is not shown where there are none."""
    plain_page.goto(f"{served}index.html")
    expect(plain_page.locator(selector)).to_be_hidden()
