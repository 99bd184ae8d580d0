"""The Compare page: what differs between runs or tasks, overlaid and side by side."""

import re

import pytest
from playwright.sync_api import Page, expect
from support.browser import Faults

from .conftest import Samples


@pytest.fixture
def address(base: str, samples: Samples) -> str:
    """The page with the good run and the failed one."""
    return f"{base}compare.html#runs={samples.ids['ok']},{samples.ids['failed']}"


def test_only_what_differs_is_shown_until_all_is_asked_for(page: Page, address: str) -> None:
    """Rows that are equal are counted, not shown; a box shows them, and is in the address."""
    page.goto(address)
    table = page.locator("table.comparison")
    expect(table.locator("thead th")).to_have_count(2)
    expect(table.locator("tr", has_text="commit").first).to_be_visible()
    expect(table.locator("tbody th[scope=row]", has_text=re.compile("^pipeline$"))).to_have_count(0)
    expect(page.locator("#compare")).to_contain_text("equal and not shown")
    page.get_by_label("show what is equal too").check()
    expect(table.locator("tbody th[scope=row]", has_text=re.compile("^pipeline$"))).to_be_visible()
    assert "all=1" in page.url


def test_runs_are_taken_away_and_added_without_starting_over(
    page: Page, address: str, samples: Samples
) -> None:
    """A run goes by its cross, comes by a word of its title or its id; the address follows."""
    page.goto(address)
    page.get_by_role("button", name="out of the comparison").nth(1).click()
    expect(page.locator("table.comparison thead th")).to_have_count(1)
    assert samples.ids["failed"] not in page.url
    page.get_by_label("Add a run").fill(samples.ids["retried"])
    page.get_by_role("button", name="Add").click()
    expect(page.locator("table.comparison thead th")).to_have_count(2)
    assert samples.ids["retried"] in page.url
    page.get_by_label("Add a run").fill("Change number 81")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("table.comparison thead th")).to_have_count(3)


def test_metrics_are_overlaid_and_figures_side_by_side(
    page: Page, base: str, samples: Samples
) -> None:
    """Tasks that log the same metric are lines of one chart; their figures stand side by side."""
    tasks = [samples.task("ok", "train_model", number).split("/") for number in (0, 1)]
    page.goto(f"{base}compare.html#tasks={','.join(f'{t[1]}.{t[3]}' for t in tasks)}")
    figure = page.locator("figure[data-chart]", has_text="loss").first
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".u-legend .u-series")).to_have_count(2)
    images = page.locator(".side-by-side").first.locator("img")
    expect(images).to_have_count(2)
    for image in images.all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 0


def test_tasks_are_compared_from_their_table(page: Page, base: str) -> None:
    """Rows ticked in a task's table open side by side."""
    page.goto(f"{base}tasks/train_model/index.html")
    boxes = page.locator("#experiment tbody").get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("link", name="Compare 2").click()
    expect(page.locator("table.comparison thead th")).to_have_count(2)
    expect(page.locator("tbody th[scope=row]", has_text="nr_train_images").first).to_be_visible()


def test_unknown_run_is_told(page: Page, base: str, samples: Samples, faults: Faults) -> None:
    """A run that the site does not have is named, and the others are compared."""
    faults.expect("Failed to load resource")
    page.goto(f"{base}compare.html#runs={samples.ids['ok']},{'0' * 31}7")
    expect(page.locator("#compare .notice")).to_contain_text("cannot be compared")
    expect(page.locator("table.comparison thead th")).to_have_count(1)


def test_without_a_choice_the_page_teaches(page: Page, base: str) -> None:
    """An empty comparison says how runs get here."""
    page.goto(f"{base}compare.html")
    expect(page.locator("#compare .empty")).to_contain_text("Compare")


def test_changes_are_told_and_equal_charts_are_not_shown(
    page: Page, base: str, samples: Samples
) -> None:
    """Numbers say by how much they differ, mappings entry by entry; equal courses have no chart."""
    tasks = [samples.task("ok", "benchmark-model", number).split("/") for number in (0, 1)]
    page.goto(f"{base}compare.html#tasks={','.join(f'{t[1]}.{t[3]}' for t in tasks)}")
    row = page.locator("table.comparison tr", has_text=re.compile("^roc_auc_mean"))
    expect(row.locator("td").nth(0)).to_have_text("0.9830")
    expect(row.locator("td").nth(1)).to_have_text("0.9840+0.0010")
    digit = page.locator("table.comparison tr", has_text=re.compile("^roc_auc_per_digit · 3"))
    expect(digit.locator("td").nth(1)).to_contain_text("+0.001")
    tasks = [samples.task("ok", "train_model", number).split("/") for number in (0, 1)]
    page.goto(f"{base}compare.html#tasks={','.join(f'{t[1]}.{t[3]}' for t in tasks)}")
    expect(page.locator("figure[data-chart]")).to_have_count(1)
    expect(page.locator("#compare")).to_contain_text("1 chart is equal and not shown.")
    page.get_by_label("show what is equal too").check()
    expect(page.locator("figure[data-chart]")).to_have_count(2)


def test_a_phone_has_both_columns_in_sight(page: Page, address: str) -> None:
    """On a narrow screen a row's name stands above its values, and two runs need no scrolling."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address)
    cell = page.locator("table.comparison tbody tr:not(.group) td").nth(1)
    expect(cell).to_be_visible()
    box = cell.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 390
