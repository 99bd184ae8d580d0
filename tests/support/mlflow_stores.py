"""Small MLflow stores, written as MLflow's documentation and its own stores lay them out."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import yaml

START = 1_790_000_000_000  # milliseconds
PARENT, CHILD, FAILED, DELETED, RUNNING, OTHER = (f"{n:032x}" for n in range(0xA0, 0xA6))


@dataclass
class Logged:
    """One run to be stored."""

    id: str
    name: str
    experiment: str = "digits"
    status: str = "FINISHED"
    deleted: bool = False
    parent: str = ""
    start: int = START
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, int, float, int]] = field(default_factory=list)  # key, ms, value, step
    files: dict[str, bytes] = field(default_factory=dict)
    uri: str = ""  # of the artifacts, where it is not the usual one

    @property
    def end(self) -> int | None:
        """None while it runs."""
        return None if self.status == "RUNNING" else self.start + 5000

    @property
    def tags(self) -> dict[str, str]:
        """As MLflow sets them, and one of the user's."""
        tags = {"mlflow.runName": self.name, "mlflow.user": "ada", "team": "blue"}
        tags["mlflow.source.git.repoURL"] = "https://ada:hunter2@example.org/ada/digits.git"
        return tags | ({"mlflow.parentRunId": self.parent} if self.parent else {})


NAN, INF = float("nan"), float("inf")
RUNS = (
    Logged(
        PARENT,
        "sweep",
        params={"lr": "0.01", "n": "3", "zip": "007", "note": "two\nlines", "on": "True"},
        metrics=[
            *(("loss", START + 10 * step, 1 / (step + 1), step) for step in range(4)),
            *(("odd", START + i, value, i) for i, value in enumerate((NAN, INF, -INF))),
            ("group/score", START + 1, 0.5, 0),
        ],
        files={"plots/loss.png": b"\x89PNG", "big.bin": b"x" * 2_500_000, "empty.txt": b""},
    ),
    Logged(CHILD, "first", parent=PARENT, start=START + 100, params={"n": "1"}),
    Logged(FAILED, "fails", status="FAILED", start=START + 1000),
    Logged(DELETED, "gone", deleted=True, start=START + 2000),
    Logged(RUNNING, "runs", status="RUNNING", start=START + 3000),
    Logged(OTHER, "apart", experiment="other", start=START + 4000),
)


def file_store(folder: Path, runs: tuple[Logged, ...] = RUNS) -> Path:
    """A file store in ``folder/mlruns``."""
    store = folder / "mlruns"
    for number, experiment in enumerate(sorted({run.experiment for run in runs}), start=1):
        _yaml(store / str(number), {"name": experiment, "lifecycle_stage": "active"})
        for run in runs:
            if run.experiment == experiment:
                _file_run(store / str(number) / run.id, run)
    return store


def _file_run(home: Path, run: Logged) -> None:
    status = {"RUNNING": 1, "FINISHED": 3, "FAILED": 4}[run.status]
    meta: dict[str, object] = {"run_id": run.id, "run_name": run.name, "status": status}
    meta |= {"start_time": run.start, "end_time": run.end, "user_id": "ada", "source_type": 4}
    meta |= {"lifecycle_stage": "deleted" if run.deleted else "active"}
    _yaml(home, {**meta, "artifact_uri": run.uri or f"file://{home}/artifacts"})
    for key, value in run.params.items():
        _write(home / "params" / key, value.encode())
    for key, value in run.tags.items():
        _write(home / "tags" / key, value.encode())
    for key, time, value, step in run.metrics:
        path = home / "metrics" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write(f"{time} {value} {step}\n")
    for name, content in run.files.items():
        _write(home / "artifacts" / name, content)


def _yaml(folder: Path, content: dict[str, object]) -> None:
    _write(folder / "meta.yaml", yaml.safe_dump(content).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


TABLES = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, artifact_location TEXT,
  lifecycle_stage TEXT);
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, source_name TEXT, user_id TEXT, status TEXT,
  start_time BIGINT, end_time BIGINT, source_version TEXT, lifecycle_stage TEXT, artifact_uri TEXT,
  experiment_id INTEGER);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT,
  is_nan BOOLEAN);
"""
LARGEST = 1.7976931348623157e308  # what MLflow's SQL store writes for an infinity


def sqlite_store(folder: Path, runs: tuple[Logged, ...] = RUNS) -> Path:
    """A SQLite store in ``folder/mlflow.db``, its artifacts in ``folder/mlruns``."""
    folder.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(folder / "mlflow.db")
    db.executescript(TABLES)
    numbers = {name: n for n, name in enumerate(sorted({run.experiment for run in runs}), start=1)}
    for name, number in numbers.items():
        db.execute("INSERT INTO experiments VALUES (?, ?, '', 'active')", (number, name))
    for run in runs:
        home = folder / "mlruns" / str(numbers[run.experiment]) / run.id / "artifacts"
        stage = "deleted" if run.deleted else "active"
        row = (run.id, run.name, "train.py", "ada", run.status, run.start, run.end, "", stage)
        place = (run.uri or str(home), numbers[run.experiment])
        db.execute(f"INSERT INTO runs VALUES ({', '.join('?' * 11)})", (*row, *place))
        for table, pairs in (("params", run.params), ("tags", run.tags)):
            rows = [(key, value, run.id) for key, value in pairs.items()]
            db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        for key, time, value, step in run.metrics:
            nan = value != value
            kept = 0.0 if nan else max(-LARGEST, min(value, LARGEST))
            db.execute(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
                (key, kept, time, run.id, step, nan),
            )
        for path, content in run.files.items():
            _write(home / path, content)
    db.commit()
    db.close()
    return folder / "mlflow.db"
