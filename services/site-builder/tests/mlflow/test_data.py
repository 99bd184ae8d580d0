"""Rules of the data files: what a run file becomes, and what stays the same when nothing changed."""

# ruff: noqa: E501 - requests and names as they are sent

import math
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from mlflow_twins import PAGES, generated
from spanbook_runfile import Metric, Run, parse_run
from spanbook_runfile.model import Child, Dataset, LoggedModel, ModelUse, Recorded
from spanbook_runfile.names import ChildStatus
from spanbook_runfile.samples import SEALED, sealed
from spanbook_site import mlflow
from spanbook_site.build import Builder
from spanbook_site.memo import Memo
from spanbook_site.mlflow import history, page, tables, wheel
from spanbook_site.mlflow.forms import MAX_FLOAT
from spanbook_site.mlflow.modelled import inputs
from spanbook_site.mlflow.records import Record, records_of
from spanbook_site.output import Output
from spanbook_site.urls import Urls

MODEL = "m-" + "1" * 56


def records(name: str) -> list[Record]:
    """The MLflow runs of one sample run."""
    return list(records_of(parse_run(sealed(name)), {}))


def test_a_task_is_an_experiment_and_a_task_run_its_run() -> None:
    """The pipeline run comes first, and every task that was tried is its child, in its task's experiment."""
    run = parse_run(sealed("ok"))
    parent, *children = records_of(run, {})
    assert parent.id == run.id
    assert parent.experiment == mlflow.ALL
    assert [child.id for child in children] == [
        f"{run.id}{task.final.id}" for task in run.tasks if task.final
    ]
    assert {child.tags["mlflow.parentRunId"] for child in children} == {run.id}
    experiments = {mlflow.experiment_id(run.pipeline, task.name) for task in run.tasks}
    assert {child.experiment for child in children} == experiments


def test_skipped_tasks_have_no_run() -> None:
    """A task that was never tried has no attempt that counts, so it is no MLflow run."""
    run = parse_run(sealed("failed"))
    tried = [task.final.id for task in run.tasks if task.final]
    assert len(tried) < len(run.tasks)
    assert [record.id[32:] for record in records("failed")[1:]] == tried


@pytest.mark.parametrize(
    ("name", "state"),
    [("ok", "FINISHED"), ("failed", "FAILED"), ("cancelled", "KILLED"), ("interrupted", "KILLED")],
)
def test_states(name: str, state: str) -> None:
    """A run's result is MLflow's state; a run whose runner died was killed."""
    assert records(name)[0].status == state


@pytest.mark.parametrize("name", sorted(SEALED))
def test_every_sample_becomes_plain_json(name: str, tmp_path: Path) -> None:
    """Whatever a run file holds, its data is JSON without null values where numbers belong."""
    output = Output(tmp_path)
    run = parse_run(sealed(name))
    assert mlflow.write_run(output, run, {}) != run.foreign
    for path in tmp_path.rglob("run.json"):
        for row in orjson.loads(path.read_bytes())["rows"]:
            for value, step, time in row["metrics"].values():
                assert value == "NaN" or isinstance(value, float)
                assert isinstance(step, int)
                assert isinstance(time, int)


def metric_run(values: list[float], steps: list[int | None]) -> Record:
    """A run that logged one metric."""
    times = tuple(10**18 + number for number in range(len(values)))
    metric = Metric("m", tuple(values), tuple(steps), times)
    run = Run(id="0" * 32, pipeline="p", result=None, start=10**18, end=None, metrics={"m": metric})
    return next(records_of(run, {}))


def test_infinities_and_nan_are_kept_as_the_server_keeps_them() -> None:
    """An infinity becomes the largest double, NaN stays, and the latest point is that of the highest step."""
    record = metric_run([math.inf, -math.inf, math.nan], [3, 1, 2])
    assert record.metrics["m"][2] == MAX_FLOAT
    assert [point[0] for point in record.histories["m"]] == [1, 2, 3]
    assert record.row()["metrics"]["m"][0] == MAX_FLOAT
    assert math.isnan(record.histories["m"][1][2])


def test_values_without_steps_are_numbered() -> None:
    """Values logged without any step make a curve, not a heap at step 0."""
    assert [point[0] for point in metric_run([3.0, 2.0, 1.0], [None] * 3).histories["m"]] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("length", [1, 2, 319, 320, 321, 640, 641, 5000])
def test_samples_hold_the_ends(length: int) -> None:
    """A sample has at most 320 points, in order, the first and the last among them."""
    points = [(step, step, float(step)) for step in range(length)]
    picked = history.sample(points)
    assert len(picked) == min(length, 320)
    assert (picked[0], picked[-1]) == (points[0], points[-1])
    assert picked == sorted(set(picked))


def test_trimmed_runs_keep_the_sample_only() -> None:
    """Full histories are what a trimmed run loses."""
    run = metric_run([float(n) for n in range(1000)], list(range(1000)))
    whole, _ = history.files([run], trimmed=False)
    short, _ = history.files([run], trimmed=True)
    assert sorted(name.partition("-")[0] for name in whole) == ["full", "metrics"]
    assert list(short) == ["metrics-0.json"]


def build(site: Path, steps: list[list[str]], runs: dict[str, list[Record]]) -> None:
    """Build a site in steps, each with more of the runs, as the builder does."""
    known: list[str] = []
    for names in steps:
        known += names
        memo, output = Memo(site, "v"), Output(site)
        for name in names:
            mlflow.write_records(
                output,
                name,
                runs[name],
                dict.fromkeys([r.experiment for r in runs[name]], "index.html"),
            )
        memo.begin()
        tables.write(memo.group, output, [tables.Entry(n, runs[n][0].start, "1") for n in known])
        for address in memo.forgotten():
            output.path(address).unlink()
        memo.save()


def contents(site: Path) -> dict[str, bytes]:
    """Every file of the MLflow data."""
    return {
        str(p.relative_to(site)): p.read_bytes()
        for p in (site / "mlflow").rglob("*")
        if p.is_file()
    }


def test_any_order_of_building_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by run or all at once, the tables are the same."""
    monkeypatch.setattr(tables, "CHUNK_RUNS", 4)
    runs = generated(60)
    names = list(runs)
    build(tmp_path / "once", [names], runs)
    build(tmp_path / "steps", [names[10:], names[5:10], *([n] for n in names[:5])], runs)
    assert contents(tmp_path / "once") == contents(tmp_path / "steps")
    assert len(contents(tmp_path / "once")) > 10


def test_the_list_says_which_chunks_hold_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks for logged models in those chunks alone."""
    monkeypatch.setattr(tables, "CHUNK_RUNS", 1)
    runs = generated(9)
    modelled = next(iter(runs))
    runs[modelled][0] = replace(runs[modelled][0], models=({"model": {}, "folder": "m"},))
    build(tmp_path, [list(runs)], runs)
    listed = orjson.loads((tmp_path / "mlflow/data/experiments.json").read_bytes())
    chunks = [
        (tmp_path / f"mlflow/data/experiments/{entry['id']}/{chunk['name']}.json", chunk["models"])
        for entry in listed["experiments"]
        for chunk in entry["chunks"]
    ]
    assert sum(said for _, said in chunks) == 1
    for path, said in chunks:
        assert ("models" in orjson.loads(path.read_bytes())) == said


def test_a_new_run_changes_its_chunk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest run touches the last chunk and the list of experiments, and no other file."""
    monkeypatch.setattr(tables, "CHUNK_RUNS", 4)
    runs = generated(60)
    names = sorted(runs, key=lambda n: (runs[n][0].start, n))
    build(tmp_path, [names[:-1]], runs)
    before = contents(tmp_path)
    build(tmp_path, [names], runs)
    after = contents(tmp_path)
    chunks = {name.rsplit("/", 1)[1] for name in after if before.get(name) != after[name]}
    assert len(chunks - {"experiments.json"}) == 1


def test_the_page_has_a_policy_and_our_scripts_before_its_own() -> None:
    """index.html gains tags and loses nothing; another page than the pinned one is refused."""
    original = '<!doctype html><head><meta charset="utf-8"/><script defer="defer" src="static-files/x.js"></script></head>'
    made = page.index(original)
    policy = made.index("Content-Security-Policy")
    assert policy < made.index('<script src="shim.js">') < made.index('src="static-files/x.js"')
    assert "unsafe-inline" not in page.POLICY.split("style-src")[0]
    with pytest.raises(wheel.MlflowUiError, match="not that of MLflow"):
        page.index("<html></html>")


def test_every_script_is_listed() -> None:
    """The page's one script holds every script of the shim, each once."""
    assert sorted(page.SCRIPTS) == sorted(path.name for path in page.SHIM.glob("*.js"))
    for path in page.SHIM.glob("*.js"):
        assert page.script().count(path.read_bytes()) == 1


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    """A wheel of another digest is not unpacked."""
    fake = tmp_path / "mlflow.whl"
    fake.write_bytes(b"PK")
    with pytest.raises(wheel.MlflowUiError, match="was not used"):
        wheel.fetch(tmp_path / "ui", wheel=fake)
    assert not (tmp_path / "ui").exists()


def test_without_the_ui_the_site_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A site without the wheel's UI has no MLflow part, and the log says why and how to mend it."""
    memo = Memo(tmp_path, "v")
    assert not mlflow.write_site(memo.group, Output(tmp_path), [], ui=tmp_path / "nothing")
    assert "spanbook-site mlflow-ui" in caplog.text
    assert not (tmp_path / "mlflow").exists()


def test_links_lead_into_the_ui() -> None:
    """Links are relative, route by fragment, and open tables with their metric columns."""
    urls = mlflow.MlflowUrls("runs/x/index.html")
    assert urls.runs() == "../../mlflow/index.html#/experiments/1/runs?viewStateShareKey=metrics"
    number = mlflow.experiment_id("p", "t")
    assert urls.task_run("p", "t", "a" * 32, "b" * 16).endswith(
        f"#/experiments/{number}/runs/{'a' * 32}{'b' * 16}"
    )
    assert urls.compare([number], ["a"]).endswith(
        f"#/compare-runs?runs=%5B%22a%22%5D&experiments=%5B%22{number}%22%5D"
    )


def test_a_tasks_page_leads_to_its_table(tmp_path: Path) -> None:
    """Our page of a task links to the experiment of it; a task that never began has none."""
    (tmp_path / "runs").mkdir()
    run = parse_run(sealed("failed"))
    (tmp_path / "runs" / f"{run.id}.json").write_bytes(sealed("failed"))
    Builder(tmp_path / "runs", tmp_path / "site").build()
    listed = orjson.loads((tmp_path / "site/mlflow/data/experiments.json").read_bytes())
    held = {entry["id"] for entry in listed["experiments"]}
    for task in run.tasks:
        number = mlflow.experiment_id(run.pipeline, task.name)
        text = (tmp_path / "site" / Urls.task(task.name)).read_text()
        assert (f"#/experiments/{number}/runs?" in text) == (number in held)
    assert len(held) < len({task.name for task in run.tasks}) + 1  # some never began


def test_a_deleted_task_run_is_deleted() -> None:
    """What MLflow's client marked as deleted is no active run of the tables."""
    run = parse_run(sealed("ok"))
    task = next(task for task in run.tasks if task.final)
    assert task.final
    final = replace(task.final, deleted=True)
    changed = replace(
        run, tasks=tuple(replace(t, attempts=(final,)) if t is task else t for t in run.tasks)
    )
    stages = {record.id: record.lifecycle for record in records_of(changed, {})}
    assert stages.pop(f"{run.id}{final.id}") == "deleted"
    assert set(stages.values()) == {"active"}


def test_the_list_names_an_experiments_datasets(tmp_path: Path) -> None:
    """Each dataset of its runs stands there once, those of the newest run first."""
    output = Output(tmp_path)
    entries = []
    for run, records_of_run in generated(30).items():
        used = [
            replace(record, inputs=inputs(Recorded(datasets=(dataset,))))
            for record, dataset in zip(records_of_run, DATASETS, strict=True)
        ]
        mlflow.write_records(output, run, used, PAGES)
        entries.append(mlflow.Entry(run, used[0].start, "1"))
    tables.write(lambda _name, _key, out, write: write(out), output, entries)
    listed = orjson.loads((tmp_path / "mlflow/data/experiments.json").read_bytes())["experiments"]
    assert {tuple(used) for entry in listed for used in entry["datasets"]} == {
        ("digits", "a", "training"),
        ("digits", "b", ""),
    }


DATASETS = (
    Dataset(name="digits", digest="a", tags={"mlflow.data.context": "training"}),
    Dataset(name="digits", digest="b"),
    Dataset(name="digits", digest="a", tags={"mlflow.data.context": "training"}),
)


def test_runs_within_a_task_run_are_nested(tmp_path: Path) -> None:
    """A child of an attempt is an MLflow run under its task's, with its own metrics, files and datasets."""
    run = parse_run(sealed("ok"))
    task = next(task for task in run.tasks if task.final)
    assert task.final
    inner = Child(
        id="c" * 16,
        parent="b" * 16,
        name="inner",
        status=ChildStatus.FAILED,
        start=5_000_000,
        end=9_000_000,
        model_uses=(ModelUse(MODEL, True, 3, (("f1", 0.9, 0, 8_000_000, "test", "d1"),)),),
    )
    child = Child(
        id="b" * 16, parent=task.final.id, name="fold/1", status=ChildStatus.FINISHED, start=1_000_000, end=2_000_000,
        parameters={"depth": "3"}, metrics={"loss": Metric("loss", (0.5,), (0,), (1_000_000,))},
        datasets=(Dataset(name="digits", digest="abc", tags={"mlflow.data.context": "training"}),),
        models=(LoggedModel(id=MODEL, name="svm", folder="svm", step=2),), experiment="Sweep", user="ada",
    )  # fmt: skip
    final = replace(task.final, children=(child, inner))
    changed = replace(
        run, tasks=tuple(replace(t, attempts=(final,)) if t is task else t for t in run.tasks)
    )
    held = {task.id: {f"{child.folder}/a.txt": "runs/x/a.txt"}}
    found = {record.id: record for record in records_of(changed, held)}
    outer, nested = found[f"{run.id}{child.id}"], found[f"{run.id}{inner.id}"]
    assert outer.tags["mlflow.parentRunId"] == f"{run.id}{task.final.id}"
    assert nested.tags["mlflow.parentRunId"] == outer.id
    assert (outer.name, outer.status, outer.user, outer.experiment_name) == (
        "fold/1",
        "FINISHED",
        "ada",
        "Sweep",
    )
    assert nested.experiment == found[f"{run.id}{task.final.id}"].experiment
    assert outer.params == {"depth": "3"}
    assert outer.histories["loss"] == [(0, 1, 0.5)]
    assert outer.inputs["dataset_inputs"][0]["dataset"]["name"] == "digits"
    assert outer.models[0]["model"]["info"]["source_run_id"] == outer.id
    assert nested.inputs == {
        "model_inputs": [{"model_id": MODEL}],
        "model_outputs": [{"model_id": MODEL, "step": 3}],
    }
    (point,) = outer.models[0]["model"]["data"]["metrics"]
    assert (point["key"], point["value"], point["run_id"]) == ("f1", 0.9, nested.id)
    assert mlflow.write_run(Output(tmp_path), changed, held)
