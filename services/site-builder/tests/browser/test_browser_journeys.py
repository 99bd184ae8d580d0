"""What people come to ask, each answered in at most two clicks from the run list."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from spanbook_runfile import names
from spanbook_runfile.samples import golden, media

from .conftest import Samples

MOST_CLICKS = 2


class Reader:
    """Someone who lands on the run list and counts clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, what: Locator) -> None:
        """Click once."""
        self.clicks += 1
        what.click()


@pytest.fixture
def reader(page: Page, served: str) -> Iterator[Reader]:
    """A reader on the run list, who must not have clicked more often at the end."""
    page.goto(f"{served}index.html")
    someone = Reader(page)
    yield someone
    assert someone.clicks <= MOST_CLICKS


def row(page: Page, run: str) -> Locator:
    """The row of a run."""
    return page.locator(f"tr[data-id='{run}']")


def test_what_failed_last_night_and_why(reader: Reader, samples: Samples) -> None:
    """The list says which task failed and with what; one click shows the traceback and the log."""
    page, failed = reader.page, row(reader.page, samples.ids["failed"])
    expect(failed.locator(".reason")).to_contain_text("split_train_test: ValueError")
    reader.click(failed.locator(".row-link"))
    expect(page.locator("#failure")).to_contain_text("train_size=1.7 should be in the (0, 1) range")
    expect(page.locator("#dag-" + culprit_id(samples))).to_have_class(re.compile("s-failure"))
    reader.click(page.locator("#failure summary"))
    expect(page.locator("#failure pre")).to_contain_text("in split_train_test")


def culprit_id(samples: Samples) -> str:
    """The span id of the failed run's task at fault."""
    return samples.task("failed", "split_train_test").split("/")[3]


def test_which_training_size_was_best_and_since_when(reader: Reader) -> None:
    """Trends marks the variant that leads, with the run and the day since when."""
    page = reader.page
    reader.click(page.get_by_role("link", name="Trends"))
    best = page.locator("#trends tr", has=page.locator("td.leads"), has_text="roc_auc_mean")
    expect(best).to_have_count(1)
    expect(best).to_contain_text("nr_train_images=600")
    since = best.locator("td").nth(6)
    expect(since.locator("time")).to_have_attribute("datetime", "2026-09-21T14:13:20.000Z")
    reader.click(since.locator("a"))
    expect(page.locator("h1")).to_contain_text("benchmark-model")


def test_what_was_best_is_on_the_tasks_page_too(reader: Reader) -> None:
    """The experiment's page begins with the best value of each metric and its run."""
    page = reader.page
    reader.click(page.get_by_role("link", name="Tasks"))
    reader.click(page.get_by_role("link", name="benchmark-model"))
    best = page.locator("#best tbody tr", has_text="roc_auc_mean")
    expect(best).to_contain_text("nr_train_images=600")


def test_what_changed_since_the_run_before(reader: Reader, samples: Samples) -> None:
    """A run's page compares it with the main run before it; the address then names both."""
    page = reader.page
    reader.click(row(page, samples.ids["ok"]).locator(".row-link"))
    reader.click(page.get_by_role("link", name="Compare with the run before"))
    expect(page.locator("table.comparison thead th")).to_have_count(2)
    expect(page.locator("table.comparison tbody tr.differs").first).to_be_visible()
    assert "previous" not in page.url
    assert samples.ids["ok"] in page.url


def test_what_changed_in_the_code(page: Page, served: str, samples: Samples) -> None:
    """Two runs of two commits of one repository link to what changed between them."""
    page.goto(f"{served}compare.html")
    page.evaluate(
        """async ([one, other]) => {
          await spanbook.load(`data/compare/${one}`);
          const run = await spanbook.load(`data/compare/${other}`);
          run.context.commit = "f".repeat(40); // the samples are all of one commit
          location.hash = `runs=${one},${other}`;
        }""",
        [samples.ids["ok"], samples.ids["retried"]],
    )
    commit = golden.ON_GITHUB[names.REF_REVISION]
    pair = {f"{commit}...{'f' * 40}", f"{'f' * 40}...{commit}"}
    link = page.locator(".code-change a")
    expect(link).to_be_visible()
    assert (
        str(link.get_attribute("href")).removeprefix("https://github.com/octo/digits/compare/")
        in pair
    )


def test_this_view_can_be_sent_to_a_colleague(reader: Reader) -> None:
    """The link that is copied opens the same sorted rows in another browser."""
    page = reader.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.click(page.locator("#runs th[data-key='duration'] button"))
    expect(page.locator("#runs th[data-key='duration']")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(page.locator("#runs .count")).not_to_have_text("Loading …")
    reader.click(page.locator("#runs").get_by_role("button", name="Copy link"))
    expect(page.locator("#runs").get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    first = page.locator("#runs tbody tr").first.get_attribute("data-id")
    browser = page.context.browser
    assert browser
    colleague = browser.new_page()
    colleague.goto(link)
    expect(colleague.locator("#runs th[data-key='duration']")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(colleague.locator("#runs tbody tr").first).to_have_attribute("data-id", str(first))
    colleague.close()


def test_the_model_is_two_clicks_away(reader: Reader, samples: Samples) -> None:
    """A run's page offers its models, each by the variant that trained it."""
    page = reader.page
    reader.click(row(page, samples.ids["ok"]).locator(".row-link"))
    models = page.locator("#models a[download]")
    expect(models).to_have_count(3)
    with page.expect_download() as download:
        reader.click(models.first)
    assert download.value.suggested_filename == "model.onnx"
    assert download.value.path().read_bytes() == media.onnx()
