"""``spanbook import-mlflow``: an MLflow store's runs as run files."""

import math
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spanbook.cli import main
from spanbook.mlflow_store.convert import parameter
from spanbook_runfile import Run, names, read_run
from spanbook_runfile.verify import verify
from support import mlflow_stores as stores

KINDS: dict[str, Callable[..., Path]] = {
    "file": stores.file_store,
    "sqlite": stores.sqlite_store,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


def imported(store: Path | str, into: Path, *flags: str) -> dict[str, Run]:
    """Import a store; the runs by id."""
    assert main(["import-mlflow", str(store), "--into", str(into), *flags]) == 0
    return {path.stem: read_run(path) for path in into.glob("*.json")}


def test_a_run_comes_over_whole(kind: str, tmp_path: Path) -> None:
    """Parameters, tags, each metric's history and the files of a run are in its run file."""
    runs = imported(KINDS[kind](tmp_path), tmp_path / "runs")
    run = runs[stores.PARENT]
    sweep = run.tasks[0].final
    assert sweep is not None
    assert (run.pipeline, run.tasks[0].name, run.state) == ("digits", "digits", "success")
    assert (run.start, run.end) == (stores.START * 10**6, (stores.START + 5100) * 10**6)
    expected = {"lr": 0.01, "n": 3, "zip": "007", "note": "two\nlines", "on": True}
    assert dict(sweep.parameters) == expected
    assert sweep.tags["team"] == "blue"
    assert sweep.tags["mlflow.run_id"] == stores.PARENT
    assert sweep.metrics["loss"].values == (1.0, 0.5, 1 / 3, 0.25)
    assert sweep.metrics["loss"].steps == (0, 1, 2, 3)
    assert sweep.metrics["loss"].times[1] == (stores.START + 10) * 10**6
    assert sweep.metrics["group/score"].steps == (None,)
    odd = sweep.metrics["odd"].values
    assert math.isnan(odd[0])
    assert odd[1:] == (math.inf, -math.inf)
    files = {artifact.path: artifact for artifact in sweep.artifacts}
    assert {path: len(a.data) for path, a in files.items()} == {
        "big.bin": 2_500_000,
        "empty.txt": 0,
        "plots/loss.png": 4,
    }
    assert all(artifact.intact for artifact in files.values())
    assert files["plots/loss.png"].kind == "figure"
    assert run.context(names.ACTOR) == "ada"
    assert run.context(names.REPOSITORY_URL) == "https://example.org/ada/digits"


def test_every_file_is_verified(kind: str, tmp_path: Path) -> None:
    """``spanbook verify`` finds nothing wrong with what was imported."""
    imported(KINDS[kind](tmp_path), tmp_path / "runs", "--deleted", "--unfinished")
    files = list((tmp_path / "runs").glob("*.json"))
    assert len(files) == 5
    for path in files:
        assert [finding for finding in verify(path) if finding.ok is False] == []


def test_a_nested_run_is_a_task_of_its_parents_run(kind: str, tmp_path: Path) -> None:
    """A nested run has no run file of its own; its group is its parent's name."""
    runs = imported(KINDS[kind](tmp_path), tmp_path / "runs")
    assert stores.CHILD not in runs
    parent, child = runs[stores.PARENT].tasks
    assert (parent.group, child.group) == ("", "sweep")
    assert child.final
    assert child.final.parameters == {"n": 1}


def test_a_failed_run_is_a_failure(kind: str, tmp_path: Path) -> None:
    """A failed run is one, and says that MLflow keeps no reason."""
    run = imported(KINDS[kind](tmp_path), tmp_path / "runs")[stores.FAILED]
    assert run.state == "failure"
    assert "does not say why" in run.error_message


def test_deleted_and_running_runs_are_left_out_and_told(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left out is counted, with the flag that takes it; with the flag it comes."""
    store = KINDS[kind](tmp_path)
    first = imported(store, tmp_path / "runs")
    told = capsys.readouterr().out
    assert set(first) == {stores.PARENT, stores.FAILED, stores.OTHER}
    assert "1 deleted run left out: --deleted" in told
    assert "--unfinished" in told
    more = imported(store, tmp_path / "runs", "--deleted", "--unfinished")
    assert more[stores.RUNNING].state == "interrupted"
    deleted = more[stores.DELETED].tasks[0].final
    assert deleted is not None
    assert deleted.tags["mlflow.lifecycle_stage"] == "deleted"


def test_importing_again_adds_what_is_new_and_doubles_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second import leaves the files of the first as they are, and adds the new run's."""
    into = tmp_path / "runs"
    KINDS[kind](tmp_path / "a", stores.RUNS[:3])
    imported(tmp_path / "a", into)
    before = {path: path.read_bytes() for path in into.glob("*.json")}
    KINDS[kind](tmp_path / "b")
    imported(tmp_path / "b", into)
    assert "2 runs there already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(into.glob("*.json"))) == 3


def test_the_same_store_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    """Two imports of one store differ in the seal's time alone."""
    store = KINDS[kind](tmp_path)
    for into in ("one", "two"):
        imported(store, tmp_path / into)
    name = f"{stores.PARENT}.json"
    one, two = ((tmp_path / into / name).read_bytes() for into in ("one", "two"))
    assert one.rpartition(b',"spanbook":')[0] == two.rpartition(b',"spanbook":')[0]


def test_files_over_the_limit_are_named(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file over the limit is left out; the run's log names it, and the command counts it."""
    store = KINDS[kind](tmp_path)
    sweep = imported(store, tmp_path / "runs", "--max-file-mb", "1")[stores.PARENT].tasks[0].final
    assert sweep is not None
    assert {artifact.path for artifact in sweep.artifacts} == {"empty.txt", "plots/loss.png"}
    assert any("big.bin (2,500,000 bytes)" in line.text for line in sweep.logs)
    assert "1 file over the limits left out" in capsys.readouterr().out
    none = imported(store, tmp_path / "none", "--no-artifacts")[stores.PARENT].tasks[0].final
    assert none is not None
    assert none.artifacts == ()


def test_a_store_that_was_moved_keeps_its_files(kind: str, tmp_path: Path) -> None:
    """Artifacts are found beside a store whose addresses lead to where it once was."""
    KINDS[kind](tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    sweep = imported(tmp_path / "new", tmp_path / "runs")[stores.PARENT].tasks[0].final
    assert sweep is not None
    assert len(sweep.artifacts) == 3


def test_a_store_cannot_take_files_from_elsewhere(kind: str, tmp_path: Path) -> None:
    """Neither an artifact address nor a link in the store leads to files outside of it."""
    secret = tmp_path / "home" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("hunter2")
    run = stores.Logged(stores.OTHER, "sly", uri=f"file://{secret.parent}")
    climbing = stores.Logged(stores.FAILED, "sly2", uri="mlruns/../../home")
    linked = stores.Logged(stores.PARENT, "sly3", files={"a.txt": b"a"})
    KINDS[kind](tmp_path / "store", (run, climbing, linked))
    artifacts = next((tmp_path / "store").rglob("a.txt")).parent
    (artifacts / "b.txt").symlink_to(secret)
    imported(tmp_path / "store", tmp_path / "runs")
    texts = [path.read_bytes() for path in (tmp_path / "runs").glob("*.json")]
    assert len(texts) == 3
    assert not any(b"secret.txt" in text or b"b.txt" in text for text in texts)


def test_files_on_a_server_are_told(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that are not on this machine are left out and told; --artifacts says where they are."""
    run = stores.Logged(stores.OTHER, "far", uri=f"mlflow-artifacts:/1/{stores.OTHER}/artifacts")
    store = KINDS[kind](
        tmp_path / "store", (run, stores.Logged(stores.FAILED, "s3", uri="s3://b/1"))
    )
    kept = tmp_path / "kept" / "1" / stores.OTHER / "artifacts" / "model.onnx"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"onnx")
    runs = imported(store, tmp_path / "runs", "--artifacts", str(tmp_path / "kept"))
    far = runs[stores.OTHER].tasks[0].final
    assert far is not None
    assert [(a.path, a.kind) for a in far.artifacts] == [("model.onnx", "model")]
    assert "Files of 1 run are not here" in capsys.readouterr().out


def test_only_the_experiments_asked_for(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--experiment`` chooses, and a misspelt one is told with the nearest that is there."""
    store = KINDS[kind](tmp_path)
    assert set(imported(store, tmp_path / "runs", "--experiment", "other")) == {stores.OTHER}
    assert main(["import-mlflow", str(store), "--experiment", "digit"]) == 2
    assert "Did you mean 'digits'?" in capsys.readouterr().err


def test_runs_that_are_nested_in_a_circle_are_imported_once(kind: str, tmp_path: Path) -> None:
    """A store whose runs are each other's parents gives one run file with both."""
    one = stores.Logged(stores.PARENT, "one", parent=stores.CHILD)
    two = stores.Logged(stores.CHILD, "two", parent=stores.PARENT)
    runs = imported(KINDS[kind](tmp_path, (one, two)), tmp_path / "runs")
    assert [len(run.tasks) for run in runs.values()] == [2]


def test_a_run_that_cannot_be_read_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken meta.yaml and a broken line of a metric are told; all else is imported."""
    store = stores.file_store(tmp_path)
    (store / "1" / stores.FAILED / "meta.yaml").write_text("{broken: [")
    with (store / "1" / stores.PARENT / "metrics" / "loss").open("a") as stream:
        stream.write("nonsense\n")
    runs = imported(store, tmp_path / "runs")
    assert set(runs) == {stores.PARENT, stores.OTHER}
    told = capsys.readouterr().err
    assert f"{stores.FAILED}/meta.yaml cannot be read and was passed over" in told
    assert "1 of its lines say no" in told


def nowhere(folder: Path) -> str:
    """A path where nothing is."""
    return str(folder / "nothing")


def empty(folder: Path) -> str:
    """A folder without a store."""
    return str(folder)


def text_file(folder: Path) -> str:
    """A file that is no database."""
    (folder / "mlflow.db").write_text("not a database" * 100)
    return str(folder / "mlflow.db")


def other_database(folder: Path) -> str:
    """A database of something else."""
    db = sqlite3.connect(folder / "other.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    return f"sqlite:///{folder / 'other.db'}"


def server(_: Path) -> str:
    """A tracking server's address."""
    return "http://localhost:5000"


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (nowhere, "There is no"),
        (empty, "is no MLflow store"),
        (text_file, "cannot be read as a SQLite store"),
        (other_database, "has no table 'experiments'"),
        (server, "--backend-store-uri"),
    ],
)
def test_what_is_no_store_is_told(
    store: Callable[[Path], str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong STORE ends with exit code 2 and a sentence that says what is wrong."""
    assert main(["import-mlflow", store(tmp_path), "--into", str(tmp_path / "runs")]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-0.5", -0.5), ("1e-05", 1e-05), ("False", False), ("None", None)]
    + [(text, text) for text in ("007", "1.50", "nan", "1_0", "", "true", " 3")],
)
def test_parameters_are_what_they_surely_were(text: str, value: Any) -> None:
    """A text becomes a number or a bool only where Python would write it just so."""
    assert (parameter(text), type(parameter(text))) == (value, type(value))


REAL = """
import sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
place = sys.argv[2] + "/digits" if sys.argv[1].startswith("sqlite") else None
mlflow.create_experiment("digits", artifact_location=place)
mlflow.set_experiment("digits")
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"lr": 0.01, "note": "two\\nlines"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd", float("nan"))
    mlflow.log_metric("odd", float("inf"), step=1)
    mlflow.log_text("hello", "notes/hello.txt")
    with mlflow.start_run(run_name="child", nested=True):
        mlflow.log_metric("accuracy", 0.5)
print(parent.info.run_id)
"""


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["{}/mlruns", "sqlite:///{}/mlflow.db"])
def test_a_real_stores_runs(uri: str, tmp_path: Path) -> None:
    """A store that MLflow itself wrote comes over; SPANBOOK_MLFLOW_PYTHON names its Python."""
    python = os.environ.get("SPANBOOK_MLFLOW_PYTHON")
    if not python:
        pytest.skip("needs a real MLflow: set SPANBOOK_MLFLOW_PYTHON to a Python that has it")
    store = uri.format(tmp_path)
    done = subprocess.run(
        [python, "-W", "ignore", "-c", REAL, store, str(tmp_path / "mlruns")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = imported(store, tmp_path / "runs").values()
    assert run.id == done.stdout.split()[-1]
    parent, child = (task.final for task in run.tasks)
    assert parent is not None
    assert child is not None
    assert parent.parameters == {"lr": 0.01, "note": "two\nlines"}
    assert parent.metrics["loss"].values == (1.0, 0.5, 1 / 3)
    assert math.isnan(parent.metrics["odd"].values[0])
    assert parent.metrics["odd"].values[1] == math.inf
    assert [(a.path, a.data) for a in parent.artifacts] == [("notes/hello.txt", b"hello")]
    assert child.metrics["accuracy"].last == 0.5
    assert all(f.ok is not False for f in verify(tmp_path / "runs" / f"{run.id}.json"))
