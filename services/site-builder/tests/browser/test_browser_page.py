"""Small things on every page: theme, times, copying, selection, charts."""

import http.server
import re
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import Faults

from .conftest import Samples


def test_theme_is_chosen_and_remembered(page: Page, base: str, samples: Samples) -> None:
    """The button goes from the system's theme to light, dark and back, on all pages."""
    page.emulate_media(color_scheme="light")
    page.goto(f"{base}index.html")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("[data-theme-toggle]").click()
    page.locator("[data-theme-toggle]").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.goto(base + samples.run("ok"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.locator("[data-theme-toggle]").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_times_are_relative_with_the_exact_one_behind(
    page: Page, base: str, samples: Samples
) -> None:
    """A time reads as people say it; its title has it to the second."""
    page.clock.set_fixed_time("2026-09-21T15:13:20Z")
    page.goto(base + samples.run("ok"))
    time = page.locator("#facts time").first
    expect(time).to_have_text("1 hour ago")
    expect(time).to_have_attribute("title", re.compile(r"2026-09-21.*14:13"))


def test_click_on_a_node_selects_its_task(page: Page, base: str, samples: Samples) -> None:
    """A node of the graph selects its task everywhere, shows its log, and is in the address."""
    page.goto(base + samples.run("ok"))
    task = page.locator("[data-task-panel]").first.get_attribute("data-task-panel")
    page.locator(f"svg.dag [data-task='{task}']").click()
    expect(page.locator(f"svg.dag [data-task='{task}']")).to_have_class(re.compile("selected"))
    expect(page.locator(f"#gantt [data-task='{task}']")).to_have_class(re.compile("selected"))
    expect(page.locator("[data-task-panel]:visible")).to_have_count(1)
    assert f"task={task}" in page.url
    page.keyboard.press("Escape")
    assert page.locator("[data-task-panel]:visible").count() > 1
    assert "task=" not in page.url


def test_selection_comes_with_the_address(page: Page, base: str, samples: Samples) -> None:
    """A link to a selected task opens with it selected; Enter then follows its link."""
    page.goto(base + samples.run("ok"))
    task = page.locator("[data-task-panel]").first.get_attribute("data-task-panel")
    page.goto("about:blank")
    page.goto(f"{base}{samples.run('ok')}#task={task}")
    node = page.locator(f"svg.dag [data-task='{task}']")
    expect(node).to_have_class(re.compile("selected"))
    node.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"tasks/{task}/index.html"))


def test_histories_are_drawn_and_can_be_read(page: Page, base: str, samples: Samples) -> None:
    """A metric with steps is a chart, whose numbers stand in a table beside it."""
    page.goto(base + samples.task("ok", "train_model"))
    figure = page.locator("figure[data-chart]").first
    figure.scroll_into_view_if_needed()
    expect(figure.locator("canvas")).to_have_attribute("aria-hidden", "true")
    drawn = figure.locator("canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)"
    )
    assert drawn
    figure.locator("summary").click()
    expect(figure.locator("tbody tr")).to_have_count(20)


def test_point_of_a_chart_leads_to_its_run(page: Page, base: str, samples: Samples) -> None:
    """A point says which run it is, and a click opens it."""
    page.goto(f"{base}tasks/train_model/index.html")
    figure = page.locator("figure[data-chart]").first
    figure.scroll_into_view_if_needed()
    over = figure.locator(".u-over")
    expect(over).to_be_visible()
    box = over.bounding_box()
    assert box
    for step in range(0, int(box["width"]), 4):
        for high in range(4, int(box["height"]), 20):
            page.mouse.move(box["x"] + step, box["y"] + high)
            if figure.locator(".chart.pointing").count():
                expect(figure.locator(".tip")).to_be_visible()
                page.mouse.click(box["x"] + step, box["y"] + high)
                page.wait_for_url(re.compile("/runs/[0-9a-f]{32}/"))
                return
    raise AssertionError("no point could be found")


def test_lines_of_parallel_coordinates_are_links(page: Page, base: str) -> None:
    """Each run is a line over parameters and metrics, and a link to the run."""
    page.goto(f"{base}tasks/train_model/index.html")
    page.locator("figure.full").scroll_into_view_if_needed()
    lines = page.locator("svg.parallel a")
    expect(lines.first).to_have_attribute("href", re.compile(r"^\.\./\.\./runs/"))
    assert "nr_train_images" in (lines.first.locator("title").text_content() or "")


class Pages(http.server.SimpleHTTPRequestHandler):
    """A static host as GitHub Pages is one: what is not there gets 404.html, at any depth."""

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """The site's own page, where it has one."""
        body = Path(self.directory, "site", "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    "path", ["gone.html", "runs/gone/tasks/x/index.html", "tasks/gone/", "data/gone/0001.json"]
)
def test_not_found_finds_home_from_any_depth(
    page: Page, samples: Samples, faults: Faults, path: str
) -> None:
    """The page for missing addresses stands alone, below a sub-path too, and leads to the runs."""
    faults.expect("404 (Not Found)")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Pages, directory=str(samples.site.parent))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        answer = page.goto(f"http://127.0.0.1:{server.server_port}/site/{path}")
        assert answer
        assert answer.status == 404
        expect(page.locator("h1")).to_have_text("Not found")
        page.get_by_role("link", name="All runs").click()
        expect(page.locator("#runs tbody tr").first).to_be_visible()
        page.goto("about:blank")
    finally:
        server.shutdown()
        server.server_close()


def test_digests_and_commands_can_be_copied(page: Page, served: str, samples: Samples) -> None:
    """A file's digest goes to the clipboard whole; without a script there is no button."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    page.goto(served + samples.task("ok", "train_model"))
    page.clock.pause_at(
        datetime.now(UTC) + timedelta(hours=1)
    )  # "Copied" is there for a moment only
    digest = page.locator("#files .hash").first
    digest.get_by_role("button", name="Copy").click()
    expect(digest.get_by_role("button")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"[0-9a-f]{64}", copied)
    assert copied in digest.inner_text()


def test_a_second_click_keeps_the_label(page: Page, base: str) -> None:
    """Whoever clicks twice does not leave a button that says Copied for ever."""
    page.goto(f"{base}index.html")
    button = page.locator("#runs [data-copy-link]")
    label = str(button.text_content())
    button.click()
    expect(button).not_to_have_text(label)
    button.click()
    expect(button).to_have_text(label)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_notebook_has_the_colours_of_its_page(
    page: Page, base: str, samples: Samples, scheme: Literal["light", "dark"]
) -> None:
    """Notebooks are dark where the page is, by the reader's choice too; HTML that they made stays on white."""
    page.goto(base + samples.task("ok", "benchmark-model"))
    page.evaluate("scheme => localStorage.setItem('spanbook.theme', scheme)", scheme)
    page.reload()
    notebook = page.frame_locator(".frame iframe").frame_locator("iframe")
    page.locator(".frame iframe").scroll_into_view_if_needed()
    dark = scheme == "dark"
    expect(notebook.locator("body")).to_have_css(
        "background-color", "rgb(24, 29, 37)" if dark else "rgb(255, 255, 255)"
    )
    expect(notebook.locator(".own").first).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(notebook.locator(".own").first).to_have_css("color", "rgb(29, 35, 48)")


def test_paper_is_white(page: Page, base: str) -> None:
    """Who reads in the dark, by the system or by choice, prints dark ink on white, and no buttons."""
    page.emulate_media(color_scheme="dark")
    page.goto(f"{base}index.html")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator("body")).to_have_css("color", "rgb(28, 35, 48)")
    expect(page.locator("#runs thead th").first).to_have_css(
        "background-color", "rgb(242, 244, 246)"
    )
    expect(page.locator("#runs .table-tools")).to_be_hidden()


def test_charts_tell_the_time_in_utc(chromium: Browser, base: str) -> None:
    """An axis of time reads the same in Tokyo and Honolulu: UTC, as the footer says."""
    drawn = [_texts(chromium, zone, base) for zone in ("Asia/Tokyo", "Pacific/Honolulu")]
    assert drawn[0] == drawn[1]
    assert any(re.fullmatch(r"\d\d-\d\d", text) for text in drawn[0])


def _texts(chromium: Browser, zone: str, base: str) -> list[str]:
    """What is written on the canvas of a chart over time, in a browser of that time zone."""
    context = chromium.new_context(timezone_id=zone, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(
        """globalThis.drawn = [];
        const { fillText } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          globalThis.drawn.push(text);
          return fillText.call(this, text, ...rest);
        };"""
    )
    page.goto(f"{base}trends/train_model.html")
    chart = page.locator("figure[data-chart]", has_text="loss").first
    chart.scroll_into_view_if_needed()
    expect(chart.locator("canvas")).to_be_visible()
    page.wait_for_function("drawn.length > 5")
    found: list[str] = page.evaluate("[...new Set(drawn)].sort()")
    context.close()
    return found
