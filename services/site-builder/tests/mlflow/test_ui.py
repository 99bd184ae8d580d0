"""Rule: MLflow's own UI works on the static site as it does on its server.

The same suite runs against both, with the same runs; the server is the control that shows that a
check can pass and fails for the right reason. Plots must be drawn, no page may show an error, break
the policy, ask what the shim cannot answer, or ask anyone else.
"""

# ruff: noqa: E501 - requests and names as they are sent

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow_twins import real_server, static_server, write_static
from playwright.sync_api import Browser, Locator, Page, expect
from spanbook_runfile.model import LoggedModel, Recorded
from spanbook_site.mlflow import page as mlflow_page
from spanbook_site.mlflow.modelled import models
from support.browser import Faults
from ui_runs import ARTIFACTS, COUNT, NAME, PARENT, START, TRAIN, run_id, runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WRONG = re.compile(
    r"something went wrong|request error|webgl is not supported|cannot be displayed|error loading|"
    r"couldn't load|could not be read|does not exist|unexpected error|page not found|failed to fetch",
    re.IGNORECASE,
)
PATIENCE = 30_000  # ms; a busy machine takes its time
AS_TRACKER = """
if (location.protocol === "http:" && window === top) {
  localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
  localStorage.setItem("mlflow.settings.telemetry.enabled_v1", "false");
}
"""  # what the site sets too: else the server's pages begin with those of traces
expect.set_options(timeout=PATIENCE)


@dataclass
class Ui:
    """The UI under one address, in a page that is watched."""

    page: Page
    url: str
    static: bool
    known: str = ""  # a fault of the control's own page

    def open(self, route: str) -> Page:
        """Go to a route of the UI, afresh."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{route}")
        return self.page

    def check(self) -> None:
        """No error on the page, and nothing that the shim did not know."""
        text = self.page.locator("body").inner_text()
        text = text.replace(self.known, "", 1)
        assert not WRONG.search(text), text[:2000]
        if self.static:
            assert self.page.evaluate("spanbookMlflow.unanswered") == []


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The static site's page, under a sub-path with a space in it."""
    folder = tmp_path_factory.mktemp("static")
    site = folder / "a b" / "site"
    write_static(site, runs())
    _write_artifacts(site / "files", ".bin")
    with static_server(folder) as served:
        yield f"{served.url}a%20b/site/mlflow/index.html"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real server's page, with the same runs and experiment tags."""
    folder = tmp_path_factory.mktemp("server")
    _write_artifacts(folder / "artifacts" / TRAIN / run_id(0) / "artifacts", "")
    write_static(folder / "site", runs())
    shutil.copy(folder / "site" / "mlflow" / "data" / "experiments.json", folder)
    with real_server(folder, runs()) as served:
        yield served.url


def _write_artifacts(folder: Path, suffix: str) -> None:
    for path, data in ARTIFACTS.items():
        target = folder / f"{path}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


@pytest.fixture(params=["static", "server"])
def ui(request: pytest.FixtureRequest, page: Page, faults: Faults) -> Iterator[Ui]:
    """The UI on the static site, then on the server; the test fails on any fault of a page."""
    page.set_default_timeout(PATIENCE)
    page.set_viewport_size({"width": 1500, "height": 1000})
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    faults.expect("ResizeObserver loop")  # the UI's own, on both
    faults.expect("mlflow.org/docs")  # a film on the traces page: the policy lets no one fetch it
    if request.param == "server":
        page.add_init_script(AS_TRACKER)
        faults.expect("users/current", "404 (Not Found)")  # a server without auth says so
        faults.expect("400 (Bad Request)")  # a filter that it refuses, over the network
        faults.expect("reading 'includes'")  # comparing runs of which one has no artifact
    ui = Ui(page, request.getfixturevalue(request.param), request.param == "static")
    yield ui
    ui.check()
    host = "/".join(ui.url.split("/")[:3])
    elsewhere = [url for url in asked if not url.startswith((host, "blob:", "data:", "about:"))]
    if ui.static:  # the server's own pages ask mlflow.org for a film
        assert elsewhere == []


def rows(page: Page) -> Locator:
    """The rows of the runs table."""
    return page.locator(".ag-center-cols-container .ag-row, .ag-pinned-left-cols-container .ag-row")


def drawn(page: Page, selector: str, count: int = 1) -> None:
    """At least ``count`` marks of a plot are there, each with a shape or place of its own."""
    expect(page.locator(selector).nth(count - 1)).to_be_attached(timeout=PATIENCE)


def painted(page: Page, selector: str) -> None:
    """A WebGL canvas holds more than one colour."""
    page.wait_for_selector(selector, state="attached")
    page.wait_for_function(
        """(selector) => [...document.querySelectorAll(selector)].some((canvas) => {
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [canvas.width, canvas.height];
          if (!copy.width || !copy.height) return false;
          const context = copy.getContext("2d");
          context.drawImage(canvas, 0, 0);
          const data = new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer);
          return data.some((pixel) => pixel !== data[0]);
        })""",
        arg=selector,
        timeout=PATIENCE,
    )


def test_experiments_are_listed(ui: Ui) -> None:
    """The list of experiments names them and leads to their runs."""
    page = ui.open("/experiments")
    page.get_by_role("link", name=NAME).click()
    expect(page.get_by_text(f"{COUNT + 1} matching runs")).to_be_visible()


def test_runs_table_filters_and_sorts(ui: Ui) -> None:
    """The table shows the runs; a filter narrows them; a sort by metric orders them."""
    page = ui.open(f"/experiments/{TRAIN}/runs?orderByKey=metrics.%60accuracy%60&orderByAsc=false")
    expect(page.get_by_text(f"{COUNT + 1} matching runs")).to_be_visible()
    expect(page.get_by_role("link", name="child 08").first).to_be_visible()
    box = page.get_by_placeholder("metrics.rmse < 1")
    box.fill("metrics.accuracy > 0.7 and params.lr = '0.4'")
    box.press("Enter")
    expect(page.get_by_text(re.compile(r"^2 matching runs$"))).to_be_visible()
    box.fill("metrics.accuracy >> 1")
    box.press("Enter")
    expect(page.get_by_text(re.compile("Invalid"))).to_be_visible()
    box.fill("")
    box.press("Enter")
    expect(page.get_by_text(f"{COUNT + 1} matching runs")).to_be_visible()


def test_shared_view_opens_with_metric_columns(ui: Ui) -> None:
    """The shared view shows the metrics and parameters as columns."""
    page = ui.open(f"/experiments/{TRAIN}/runs?viewStateShareKey=metrics")
    for column in ("accuracy", "loss", "lr", "n"):
        expect(page.get_by_role("columnheader", name=column, exact=True).first).to_be_visible()
    expect(page.get_by_text("0.74").first).to_be_visible()


def test_nested_runs_expand(ui: Ui) -> None:
    """Children hang below their parent."""
    page = ui.open(f"/experiments/{TRAIN}/runs")
    expect(page.get_by_text(f"{COUNT + 1} matching runs")).to_be_visible()
    expect(page.get_by_role("link", name="parent", exact=True)).to_be_visible()
    parent = page.get_by_role("row").filter(has=page.get_by_role("link", name="parent", exact=True))
    parent.get_by_role("button").first.click()
    expect(page.get_by_role("link", name="child 11")).to_be_visible()


def test_group_by_parameter(ui: Ui) -> None:
    """Runs are grouped by a parameter."""
    page = ui.open(f"/experiments/{TRAIN}/runs")
    page.get_by_role("button", name="Group by").click()
    page.get_by_role("menuitem").or_(page.get_by_role("menuitemcheckbox")).filter(
        has_text=re.compile("^lr$")
    ).click()
    expect(page.get_by_text("Group: 0.1").first).to_be_visible()
    expect(page.get_by_text("Group: 0.4").first).to_be_visible()


def test_charts_are_drawn(ui: Ui) -> None:
    """The chart view draws a curve for each run and bars for single values."""
    page = ui.open(f"/experiments/{TRAIN}/runs?compareRunsMode=CHART")
    drawn(page, ".js-plotly-plot .scatterlayer path.js-line", 8)
    drawn(page, ".js-plotly-plot .barlayer .point path", 8)


def test_logged_images_are_shown(ui: Ui) -> None:
    """An image that was logged step by step is drawn in its chart."""
    page = ui.open(f"/experiments/{TRAIN}/runs/{run_id(0)}/model-metrics")
    page.wait_for_function(
        "[...document.images].some((i) => i.naturalWidth === 8 && i.getBoundingClientRect().width >= 8)"
    )


def test_datasets(ui: Ui) -> None:
    """A run is found by its dataset, which is in the table and in a drawer."""
    page = ui.open(f"/experiments/{TRAIN}/runs?searchFilter=dataset.name%20%3D%20'digits-1'")
    expect(page.get_by_text(re.compile(r"^1 matching run"))).to_be_visible()
    expect(page.get_by_role("link", name="child 01")).to_be_visible()
    page.get_by_text("digits-1").first.click()
    expect(page.get_by_role("dialog").get_by_text("150", exact=True)).to_be_visible()


def test_datasets_are_offered(ui: Ui) -> None:
    """The runs of a dataset are chosen from a list."""
    page = ui.open(f"/experiments/{TRAIN}/runs")
    page.locator("button", has_text=re.compile("^Datasets")).click()
    page.get_by_role("option", name=re.compile("^digits-0")).click()
    expect(page.get_by_text(re.compile(r"^1 matching run"))).to_be_visible()
    expect(page.get_by_role("link", name="child 00")).to_be_visible()


def test_run_page(ui: Ui) -> None:
    """A run's page tells its parameters, metrics, parent and state."""
    page = ui.open(f"/experiments/{TRAIN}/runs/{run_id(11)}")
    expect(page.get_by_role("heading", name="child 11")).to_be_visible()
    expect(page.get_by_role("link", name="parent", exact=True)).to_be_visible()
    expect(page.get_by_text("Finished")).to_be_visible()
    expect(
        page.get_by_role("cell", name="0.4").or_(page.get_by_text("0.4", exact=True)).first
    ).to_be_visible()
    page = ui.open(f"/experiments/{TRAIN}/runs/{PARENT}")
    expect(page.get_by_role("link", name="child 10")).to_be_visible()


@pytest.mark.parametrize("tab", ["model-metrics", "system-metrics"])
def test_run_metrics_are_drawn(ui: Ui, tab: str) -> None:
    """The metric tabs draw the run's own curves."""
    page = ui.open(f"/experiments/{TRAIN}/runs/{run_id(2)}/{tab}")
    drawn(page, ".js-plotly-plot .scatterlayer path.js-line")


def test_artifacts_have_previews_and_downloads(ui: Ui) -> None:
    """Files are listed as a tree; text, tables, pictures and JSON are shown; a download has the bytes."""
    page = ui.open(f"/experiments/{TRAIN}/runs/{run_id(0)}/artifacts")
    page.get_by_text("notes.txt").click()
    expect(page.get_by_text("plain words of a text file")).to_be_visible()
    page.get_by_text("data", exact=True).click()
    page.get_by_text("table.csv").click()
    expect(page.get_by_text("Utrecht").first).to_be_visible()
    page.get_by_text("config.json").click()
    expect(page.get_by_text("learning rate")).to_be_visible()
    page.get_by_text("figures", exact=True).click()
    page.get_by_text("square.png").click()
    page.wait_for_function(
        "[...document.images].some((i) => i.src.startsWith('blob:') && i.naturalWidth === 8)"
    )
    page.get_by_text("notes.txt").click()
    with page.expect_download() as download:
        page.locator("[data-component-id*='artifactview.tsx_337']").click()
    assert Path(download.value.path()).read_bytes() == ARTIFACTS["notes.txt"]


def test_hostile_artifacts_stay_in_their_frame(ui: Ui, faults: Faults) -> None:
    """An HTML artifact is shown in a frame without the site's origin; its script reaches nothing."""
    faults.expect(
        "Blocked a frame",
        "POLICY",
        "Ignored call to 'alert",
        "sandboxed",
        "Content Security Policy",
        "cross-origin",
        "SecurityError",
    )
    page = ui.open(f"/experiments/{TRAIN}/runs/{run_id(0)}/artifacts")
    page.get_by_text("page.html").click()
    frame = page.frame_locator("iframe")
    expect(frame.locator("#hello")).to_be_visible()
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts"
    page.get_by_text("drawing.svg").click()
    page.wait_for_timeout(500)
    assert page.evaluate("[window.pwned ?? null, document.title.includes('pwned')]") == [
        None,
        False,
    ]


def compare(ui: Ui) -> Page:
    """The comparison of all children."""
    ids = quote(json.dumps([run_id(n) for n in range(COUNT)], separators=(",", ":")))
    page = ui.open(f"/compare-runs?runs={ids}&experiments={quote(json.dumps([TRAIN]))}")
    expect(page.get_by_text(f"Comparing {COUNT} Runs")).to_be_visible()
    return page


def test_compare_draws_all_four_plots(ui: Ui) -> None:
    """Parallel coordinates, scatter, box and contour plots are drawn, WebGL ones in pixels."""
    page = compare(ui)
    ui.known = "" if ui.static else "Something went wrong"  # artifacts, where one run has none
    painted(page, ".js-plotly-plot canvas")
    page.get_by_role("tab", name="Scatter Plot").click()
    page.wait_for_function(
        "[...document.querySelectorAll('.js-plotly-plot')].some((p) => p.offsetParent && p.data?.some((t) => /scatter/.test(t.type) && t.x.length > 5))"
    )
    page.get_by_role("tab", name="Box Plot").click()
    axes = page.get_by_role("tabpanel").filter(visible=True).get_by_role("combobox")
    for axis, key in enumerate(("lr", "accuracy")):
        axes.nth(axis).click()
        page.get_by_role("option", name=key, exact=True).filter(visible=True).click()
    drawn(page, ".js-plotly-plot .boxlayer path.box", 1)
    page.get_by_role("tab", name="Contour Plot").click()
    page.wait_for_function(
        "[...document.querySelectorAll('.js-plotly-plot')].some((p) => p.offsetParent && p.data?.some((t) => t.type === 'contour'))"
    )
    drawn(page, ".js-plotly-plot .contourlayer path", 1)


def test_metric_page_draws_its_curves(ui: Ui) -> None:
    """The page of one metric draws each run's curve and tells the last values."""
    ids = quote(json.dumps([run_id(n) for n in range(4)], separators=(",", ":")))
    keys = quote('["loss"]')
    page = ui.open(
        f"/metric?runs={ids}&metric=%22loss%22&experiments={quote(json.dumps([TRAIN]))}&plot_metric_keys={keys}"
    )
    drawn(page, ".js-plotly-plot .scatterlayer path.js-line", 4)
    expect(page.get_by_text("4/4")).to_be_visible()


@pytest.mark.parametrize(
    "route",
    [
        "/",
        "/models",
        f"/experiments/{TRAIN}/models",
        f"/experiments/{TRAIN}/traces",
        "/settings",
        "/prompts",
    ],
)
def test_the_rest_answers_politely(ui: Ui, route: str) -> None:
    """Pages of what run files do not hold open, empty, without an error."""
    page = ui.open(route)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    assert len(page.locator("#root").inner_text()) > 50


def test_writes_are_refused_and_say_why(static: str, page: Page) -> None:
    """A dialog that would change something shows that the site is read-only."""
    page.set_default_timeout(PATIENCE)
    page.goto(f"{static}#/experiments")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("dialog").get_by_role("textbox").first.fill("mine")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(page.get_by_text(re.compile("read-only site")).first).to_be_visible()


def test_logged_models_are_found(tmp_path: Path, page: Page) -> None:
    """By a filter of any of their fields, by a dataset, in order; a run's page lists its own."""
    page.set_default_timeout(PATIENCE)
    made = runs()
    records = made[PARENT[:32]]
    for number, name in enumerate(("svm", "tree"), start=1):
        point = ("f1", number / 10, 0, 1_000_000, f"test-{number}", "d1")
        model = LoggedModel(id=f"m-{records[number].id}0000000{number}", name=name, folder=name,
                            status="LOGGED_MODEL_READY", created=START + number, params={"depth": str(number)},
                            tags={"kind": name}, metrics=(point,))  # fmt: skip
        measured = {model.id: [(records[number].id, point)]}
        rows = tuple(models(Recorded(models=(model,)), records[number].id, TRAIN, measured))
        records[number] = replace(records[number], models=rows)
    write_static(tmp_path, made)
    with static_server(tmp_path) as served:
        page.goto(f"{served.url}mlflow/index.html#/experiments/{TRAIN}/runs/{records[1].id}")
        expect(page.get_by_text("svm").first).to_be_visible()
        assert (
            "logged models"
            not in page.locator("body").inner_text().lower().split("error loading", 1)[-1][:20]
        )
        for asked, names in (
            ({}, ["tree", "svm"]),
            ({"filter": "name = 'svm'"}, ["svm"]),
            ({"filter": f"source_run_id IN ('{records[2].id}')"}, ["tree"]),
            ({"filter": "metrics.f1 < 0.15 AND params.depth = '1' AND tags.kind LIKE 's%'"}, ["svm"]),
            ({"filter": "status = 'READY'", "order_by": [{"field_name": "metrics.f1"}]}, ["svm", "tree"]),
            ({"datasets": [{"dataset_name": "test-2"}]}, ["tree"]),
            ({"datasets": [{"dataset_name": "test-2", "dataset_digest": "d2"}]}, []),
            ({"order_by": [{"field_name": "name", "ascending": True}], "max_results": 1}, ["svm"]),
        ):  # fmt: skip
            found = page.evaluate(
                "(asked) => spanbookMlflow.searchModels(asked)",
                {"experiment_ids": [TRAIN], **asked},
            )
            assert [model["info"]["name"] for model in found.get("models", [])] == names, asked


def test_the_way_back(static: str, page: Page) -> None:
    """Every page of the UI links to the page of ours that shows the same."""
    page.set_default_timeout(PATIENCE)
    page.goto(f"{static}#/experiments/{TRAIN}/runs/{run_id(1)}")
    run, task = run_id(1)[:32], run_id(1)[32:]
    expect(page.locator("#spanbook-back")).to_have_attribute(
        "href", f"../runs/{run}/tasks/{task}/index.html"
    )
    page.get_by_role("link", name=NAME).first.click()
    expect(page.locator("#spanbook-back")).to_have_attribute(
        "href", "../index.html"
    )  # this data's page of the task


def test_the_table_asks_ahead_for_what_it_needs(static: str, page: Page) -> None:
    """What is asked for before the UI runs are the parts that its table loads, no more and no fewer."""
    script = (mlflow_page.SHIM / "ahead.js").read_text()
    named = {f"{part}.chunk" for part in re.findall(r'"(\d+\.[0-9a-f]{8})"', script)}
    page.route("**/shim.js", lambda route: route.fulfill(
        body=mlflow_page.script().replace(b'rel: "preload"', b'rel: "nothing"'), content_type="text/javascript"
    ))  # fmt: skip
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{static}#/experiments/{TRAIN}/runs")
    expect(page.get_by_role("link", name="child 08").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    loaded = {name for url in asked for name in re.findall(r"(\d+\.[0-9a-f]{8}\.chunk)\.", url)}
    assert loaded == named


def test_only_known_files_are_changed(static: str, server: str, chromium: Browser) -> None:
    """The UI's files are the wheel's, byte for byte; index.html differs by the added tags alone."""
    page = chromium.new_page()
    theirs = page.request.get(server).text()
    ours = page.request.get(static).text()
    added = re.sub(
        r'<link rel="preload"[^>]*/>|<meta http-equiv="Content-Security-Policy"[^>]*/>|<script src="shim\.js"></script>',
        "",
        ours,
    )
    assert added == theirs
    for name in re.findall(r"static-files/[^\"]+", theirs):
        address = static.replace("index.html", name)
        assert page.request.get(address).body() == page.request.get(server + name).body()
    page.close()
