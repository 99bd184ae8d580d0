"""The whole stack as local processes: ``spanbook run PIPELINE --local``."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto_json.logs.v1.logs import LogsData
from opentelemetry.proto_json.metrics.v1.metrics import MetricsData
from opentelemetry.proto_json.trace.v1.trace import TracesData
from playwright.sync_api import Page
from support.otlp import RawRun, attributes, demo_dag
from support.processes import Program, wait_for
from support.stack import DEMO, Stack

pytestmark = pytest.mark.slow

SIZES = (400, 500, 600)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack of its own."""
    return Stack(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Program]:
    """The demo pipeline, run once, its tracker still served."""
    with stack.start("run", DEMO, "--local", "--keep-serving") as program:
        wait_for(lambda: stack.run_files() or program.process.poll(), 180, "the first run's seal")
        yield program


@pytest.fixture(scope="module")
def run_file(stack: Stack, served: Program) -> Path:
    """The demo's run file."""
    assert stack.run_files(), served.output
    return stack.run_files()[0]


def test_run_file_is_plain_json_and_has_the_exact_dag(run_file: Path) -> None:
    """``json.loads`` is enough to find the run, each task's result, and every edge."""
    run = RawRun(run_file)
    assert run.result == "success"
    assert run.run_span["traceId"] == run_file.stem
    assert run.dag() == demo_dag(*SIZES)
    assert set(run.results().values()) == {"success"}
    assert len(run.results()) == 10
    assert run.whole["spanbook"]["complete"] is True
    assert run_file.stat().st_mode & 0o777 == 0o444


def test_run_file_parses_with_an_independent_codec(run_file: Path) -> None:
    """``opentelemetry-proto-json`` reads the one file as each of the three signals, whole."""
    text = run_file.read_text()
    spans = [
        span
        for block in TracesData.from_json(text).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]
    records = [
        record
        for block in LogsData.from_json(text).resource_logs
        for scope in block.scope_logs
        for record in scope.log_records
    ]
    points = [
        point
        for block in MetricsData.from_json(text).resource_metrics
        for scope in block.scope_metrics
        for metric in scope.metrics
        if metric.gauge
        for point in metric.gauge.data_points
    ]
    received = RawRun(run_file).whole["spanbook"]["received"]
    assert {
        "spans": len(spans),
        "logRecords": len(records),
        "metricPoints": len(points),
    } == received
    assert {bytes(span.trace_id or b"").hex() for span in spans} == {run_file.stem}


def test_what_tasks_logged_is_in_the_file(run_file: Path) -> None:
    """Figures, tables, models and evaluated notebooks: so many of each, and nothing else."""
    recorded = RawRun(run_file).logged("spanbook.artifact")
    names = [attributes(record)["spanbook.artifact.path"] for record in recorded]
    assert {name: names.count(name) for name in set(names)} == {
        "label-distribution.png": 1,
        "pixel-distribution.png": 1,
        "images.png": 1,
        "images-per-digit.json": 1,  # by MLflow's client
        "model.onnx": 3,
        "probabilities.png": 3,
        "roc-curves.png": 3,
        "roc-auc.csv": 1,
        "roc-auc.png": 1,
        "notebook.ipynb": 5,
    }


@pytest.mark.browser
def test_a_person_walks_from_the_list_to_the_model(
    stack: Stack, run_file: Path, page: Page, tmp_path: Path
) -> None:
    """List, run, task: the DAG, the figures, the notebook, and the model as it was exported."""
    wait_for(lambda: stack.page(f"runs/{run_file.stem}/index.html"), 10, "the run's page")
    page.goto(f"{stack.url}/index.html")
    page.locator("#runs a.row-link").first.click()
    assert dag_on_page(page) == demo_dag(*SIZES)
    assert page.locator("svg.dag a.node").count() == 10
    assert page.locator("svg.dag path.edge").count() == len(demo_dag(*SIZES))

    page.locator("#task-table tr", has_text="benchmark-model").first.locator("a").click()
    assert page.locator("#metric-table").get_by_text("roc_auc_mean").is_visible()
    figures = page.locator("figure.figure img")
    assert figures.count() == 2
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        assert figure.evaluate("async img => (await img.decode(), img.naturalWidth)") > 500
    page.locator("section.frame iframe").scroll_into_view_if_needed()
    notebook = page.frame_locator("section.frame iframe").frame_locator("iframe")
    notebook.get_by_role("heading", name="How good is the model?").wait_for()

    page.locator("#neighbours a", has_text="train_model").click()
    with page.expect_download() as download:
        page.locator("#files a[download$='.onnx']").first.click()
    saved = tmp_path / "model.onnx"
    download.value.save_as(saved)
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert page.get_by_text(digest).count() >= 1


def dag_on_page(page: Page) -> set[tuple[str, str]]:
    """The edges as the page's own words tell them, under the drawing."""
    lines = page.locator("#graph figcaption li").all_text_contents()
    edges = set()
    for line in lines:
        title, _, words = re.sub(r"nr_train_images=", "", line).partition(" (")
        _, _, above = words.partition(") after ")
        edges |= {(name, title) for name in above.strip().split(", ") if name}
    return edges


def test_a_second_run_shows_beside_the_first(stack: Stack, run_file: Path) -> None:
    """A runner that sends to the stack's collector is on the list within 5 s of its seal."""
    second = Stack(
        stack.outputs, stack.ports, extra={"OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint}
    )
    done = second.run("run", "pipelines/hello")
    assert done.returncode == 0, done.stderr
    files = wait_for(lambda: (f := stack.run_files())[1:] and f, 20, "the second seal")
    wait_for(
        lambda: all(file.stem in stack.page("index.html") for file in files),
        5,
        "both runs on the list",
    )
    assert RawRun(files[1]).results().keys() == {"throw", "compare"}


def test_ctrl_c_ends_the_tracker_and_leaves_no_process(served: Program, run_file: Path) -> None:
    """When the run is over, Ctrl-C stops the services: exit 0, and nothing of it lives on."""
    served.interrupt()
    assert served.wait(60) == 0, served.output
    assert served.orphans() == []
