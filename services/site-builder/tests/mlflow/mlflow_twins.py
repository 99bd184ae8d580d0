"""The same MLflow runs twice: as a static site, and in a real server of the pinned version."""

# ruff: noqa: RUF001 - requests and names as they are sent

import functools
import http.server
import json
import math
import os
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from spanbook_site import mlflow
from spanbook_site.mlflow.forms import MAX_FLOAT
from spanbook_site.mlflow.records import Point, Record, order
from spanbook_site.mlflow.wheel import VERSION
from spanbook_site.output import Output

EXPERIMENTS = {"200000000000001": "shop/train", "200000000000002": "shop/évaluation ✓"}
START = 1_790_000_000_000
PAGES = dict.fromkeys([*EXPERIMENTS, mlflow.ALL], "index.html")
WORDS = [
    "a",
    "A",
    "ab",
    "B%",
    "b_",
    "Ünï",
    "z",
    "ﬀ",
    "𝒳",
    "日本",
    "",
    " ",
    "1",
    "10",
    "9",
    "it's",
    'say "x"',
    "100%",
]
PARAMS = ["lr", "n", "model.type", "a b", "name with spaces", "Ünï"]
TAGS = ["color", "team/owner", "a b", "mlflow.user", "mlflow.source.name"]
METRICS = ["loss", "acc", "f1 score", "val/loss", "sparse", "nan", "Ünï"]
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, 0.25, 1e-300, 1e300, 3, -7.25, math.nan, MAX_FLOAT, -MAX_FLOAT]


def generated(count: int = 150, seed: int = 1) -> dict[str, list[Record]]:
    """Random runs, by the pipeline run whose file holds them: ties, gaps, NaN, infinities, deleted, unicode."""
    rng = random.Random(seed)
    out: dict[str, list[Record]] = {}
    for number in range(count // 3):
        run = f"{rng.getrandbits(128):032x}"
        out[run] = [_record(rng, run, number) for _ in range(3)]
    return out


def _record(rng: random.Random, run: str, number: int) -> Record:
    experiment = rng.choice(list(EXPERIMENTS))
    start = START + rng.choice([0, 0, 1, 1000, 60_000 * number, rng.randrange(10**9)])
    name = rng.choice([f"run {number}", "same name", "Ünï ﬀ 𝒳", "it's"])
    params = {key: rng.choice(WORDS) for key in PARAMS if rng.random() < 0.7}
    tags = {key: rng.choice(WORDS) for key in TAGS if rng.random() < 0.6}
    tags["mlflow.runName"] = name
    if rng.random() < 0.3:
        tags["mlflow.parentRunId"] = run
    return Record(
        id=f"{run}{rng.getrandbits(64):016x}",
        experiment=experiment,
        experiment_name=EXPERIMENTS[experiment],
        name=name,
        status=rng.choice(["FINISHED", "FAILED", "RUNNING", "KILLED"]),
        user=rng.choice(["ada", "Ünï", "bob"]),
        start=start,
        end=rng.choice([None, start + 10, start + 1000]),
        params=params,
        tags=tags,
        histories={
            key: _history(rng, start)
            for key in METRICS
            if rng.random() < (0.1 if key == "sparse" else 0.8)
        },
        lifecycle="deleted" if rng.random() < 0.1 else "active",
    )


def _history(rng: random.Random, start: int) -> list[Point]:
    length = rng.choice([2, 5, 319, 320, 321, 322, 700, 1500]) if rng.random() < 0.1 else 1
    points = {}
    for step in range(length):
        value = rng.choice(VALUES) if rng.random() < 0.5 else rng.random()
        point = (rng.choice([step, step, 0]), start + rng.choice([step, step * 7, 0]), float(value))
        points[(point[0], point[1], repr(point[2] + 0.0))] = (*point[:2], point[2] + 0.0)
    return sorted(points.values(), key=order)


def write_static(site: Path, runs: dict[str, list[Record]], ui: Path | None = None) -> None:
    """The runs as a site's MLflow part."""
    output = Output(site)
    entries = []
    for run, records in runs.items():
        mlflow.write_records(output, run, records, PAGES)
        entries.append(mlflow.Entry(run, records[0].start, "1"))
    assert mlflow.write_site(lambda _name, _key, out, write: write(out), output, entries, ui=ui)


@dataclass(frozen=True)
class Served:
    """Something that answers under an address ending in a slash."""

    url: str


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def static_server(folder: Path) -> Iterator[Served]:
    """A plain static server, as any host is: files, types by suffix, and nothing else."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
            thread.join()


def mlflow_python() -> Path:
    """The Python with the pinned MLflow that SPANBOOK_MLFLOW_PYTHON names; without one the test is skipped."""
    named = os.environ.get("SPANBOOK_MLFLOW_PYTHON")
    if not named:
        pytest.skip(
            f"needs a real MLflow server: set SPANBOOK_MLFLOW_PYTHON to a Python that has mlflow=={VERSION}"
        )
    return Path(named)


@contextmanager
def real_server(folder: Path, runs: dict[str, list[Record]]) -> Iterator[Served]:
    """A real `mlflow server` on SQLite that holds the same runs, and their artifacts' bytes."""
    python = mlflow_python()
    dump = [_dumped(record) for records in runs.values() for record in records]
    (folder / "runs.json").write_text(json.dumps(dump))
    seed = Path(__file__).with_name("seed_server.py")
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    subprocess.run([python, seed, folder], check=True, env=environment, timeout=300)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command: Sequence[object] = [
        python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts",
    ]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", folder / "server.log")
            yield Served(f"http://127.0.0.1:{port}/")
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and its workers; on a busy machine they may not get to their own end."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _dumped(record: Record) -> dict[str, object]:
    row = record.row()
    row["experiment_name"] = record.experiment_name
    row["histories"] = {
        k: [[s, t, "NaN" if math.isnan(v) else v] for s, t, v in p]
        for k, p in record.histories.items()
    }
    return row


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"mlflow server did not come up: {log.read_text()[-2000:]}")
