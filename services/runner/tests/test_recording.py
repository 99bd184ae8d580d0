"""Recorder, spool and exporter, against the real collector: nothing is lost, memory is bounded."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from spanbook.emitter import Batch, Emitter
from spanbook.errors import SpoolError, UsageError
from spanbook.export import exporter
from spanbook.masking import Masker
from spanbook.recorder import Recorder
from spanbook.spool import Spool
from spanbook_runfile import read_run
from spanbook_runfile.journal import Signal, read_frames

COLLECTOR = str(Path(sys.executable).with_name("spanbook-collector"))


class Collector:
    """The real collector, which can be stopped and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("", 0)) as b:
            self.grpc, self.http = a.getsockname()[1], b.getsockname()[1]
        self.process = None

    def start(self) -> "Collector":
        """Start it, and wait until it listens."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *(COLLECTOR, "--outputs", str(self.folder), "--ready-file", str(ready)),
                *("--grpc-port", str(self.grpc), "--http-port", str(self.http)),
            ],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Stop it as ``docker stop`` would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def sealed(self, run_id: str):
        """The run, once it is sealed."""
        path = self.folder / "runs" / f"{run_id}.json"
        deadline = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < deadline, f"{run_id} is not sealed"
            time.sleep(0.05)
        return read_run(path)


@pytest.fixture
def collector(tmp_path):
    """A collector that is not started yet."""
    made = Collector(tmp_path / "collector")
    made.folder.mkdir()
    yield made
    made.stop()


@pytest.fixture
def telemetry(monkeypatch):
    """Sets the standard variables of the exporter."""
    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)

    def use(collector, protocol):
        port = collector.grpc if protocol == "grpc" else collector.http
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")

    return use


def record(spool, run_id, records=5, size=10):
    """Record a small run."""
    resource = {"service.name": "test", "cicd.pipeline.run.id": run_id}
    recorder = Recorder(run_id, "small", resource, spool, Masker())
    start = time.time_ns()
    recorder.start(start, {"n": records})
    batches = []
    emitter = Emitter(run_id, secrets.token_hex(8), batches.append, masker=Masker())
    for number in range(records):
        emitter.line("stdout", f"{number}".ljust(size, "x"))
    emitter.usage(0.5, 1000)
    for batch in (*batches, emitter.close()):
        recorder.add(batch)
    recorder.end(start=start, end=time.time_ns(), attrs={}, error=None)
    return recorder


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_everything_is_delivered(
    collector, telemetry, monkeypatch, tmp_path, protocol, compression
):
    """Over both protocols the collector gets exactly what was declared, and the spool goes."""
    collector.start()
    telemetry(collector, protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter())
    record(spool, run_id)
    assert spool.finish(20)
    assert not spool.path.exists()
    run = collector.sealed(run_id)
    assert run.seal.complete
    assert run.parameters == {"n": 5}
    assert len(run.logs) == 5
    assert run.seal.received.metric_points == 2


def test_a_collector_that_comes_late_and_restarts(collector, telemetry, tmp_path):
    """What was recorded while it was away arrives, once each, and the user is told of both."""
    telemetry(collector, "grpc")
    told = []
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter(), told.append)
    recorder = Recorder(run_id, "late", {}, spool, Masker())
    began = time.monotonic()
    recorder.start(time.time_ns(), {})
    for number in range(50):
        recorder.event(recorder.root_id, "", f"line {number}")
        recorder.flush()
    assert time.monotonic() - began < 2, "recording waits for the collector"
    time.sleep(1.5)
    assert len(told) == 1
    assert "does not answer" in told[0]
    collector.start()
    deadline = time.monotonic() + 30
    while len(told) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    collector.stop()
    for number in range(50, 100):
        recorder.event(recorder.root_id, "", f"line {number}")
        recorder.flush()
    collector.start()
    recorder.end(start=1, end=2, attrs={}, error=None)
    assert spool.finish(30)
    run = collector.sealed(run_id)
    assert run.seal.complete
    assert [line.text for line in run.logs] == [f"line {n}" for n in range(100)]


def test_a_collector_that_never_comes(collector, telemetry, tmp_path):
    """The spool stays, whole, and can be read as the run's journal."""
    telemetry(collector, "grpc")
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter())
    recorder = record(spool, run_id)
    assert not spool.finish(0.3)
    with spool.path.open("rb") as stream:
        frames = list(read_frames(stream))
    logs = [ExportLogsServiceRequest.FromString(p) for s, p, _ in frames if s is Signal.LOGS]
    assert sum(len(r.resource_logs[0].scope_logs[0].log_records) for r in logs) == recorder.records


def test_requests_stay_below_grpcs_limit(collector, telemetry, tmp_path):
    """However large a batch is, no request is over 4 MiB; an outsized one is taken apart."""
    telemetry(collector, "grpc")
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter())
    batches: list[Batch] = []
    emitter = Emitter(run_id, secrets.token_hex(8), batches.append, masker=Masker())
    for _ in range(12):
        emitter.line("stdout", "x" * 900_000)
    batches.append(emitter.close())
    whole = Batch(b"".join(b.log_records for b in batches), sum(b.n_records for b in batches))
    recorder = Recorder(run_id, "large", {}, spool, Masker())
    recorder.add(whole)
    recorder.flush()
    spool.finish(0.1)
    with spool.path.open("rb") as stream:
        sizes = [len(payload) for _, payload, _ in read_frames(stream)]
    assert max(sizes) < 4 << 20
    assert sum(sizes) > 10_000_000
    assert recorder.records == 12


def test_secrets_do_not_reach_the_spool(collector, telemetry, monkeypatch, tmp_path):
    """Values of secret-looking variables are masked in parameters, errors and the resource."""
    monkeypatch.setenv("MY_API_TOKEN", "hunter2-hunter2")
    telemetry(collector, "grpc")
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter())
    masker = Masker.of_environ()
    recorder = Recorder(run_id, "secret", {"x": "a hunter2-hunter2 b"}, spool, masker)
    recorder.start(1, {"token": "hunter2-hunter2", "deep": {"list": ["hunter2-hunter2"]}})
    recorder.end(start=1, end=2, attrs={}, error="failed with hunter2-hunter2")
    spool.finish(0.1)
    content = spool.path.read_bytes()
    assert b"hunter2-hunter2" not in content
    assert content.count(b"***") >= 4


def test_a_folder_that_cannot_be_written(tmp_path):
    """The error names the file and the variable that moves it."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SpoolError, match="SPANBOOK_OUTPUTS"):
        Spool(blocked / "spool", "0" * 32, exporter({}))


def test_an_unknown_protocol():
    """JSON over HTTP is no protocol of the official Python exporters."""
    with pytest.raises(UsageError, match="http/json"):
        exporter({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})


def test_json_is_still_plain(collector, telemetry, tmp_path):
    """What the recorder puts together by hand is valid OTLP: the sealed file is JSON of its kind."""
    collector.start()
    telemetry(collector, "grpc")
    run_id = secrets.token_hex(16)
    spool = Spool(tmp_path / "spool", run_id, exporter())
    record(spool, run_id, records=3)
    assert spool.finish(20)
    collector.sealed(run_id)
    whole = json.loads((collector.folder / "runs" / f"{run_id}.json").read_text())
    (owner,) = whole["resourceLogs"]
    assert owner["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "test"}},
        {"key": "cicd.pipeline.run.id", "value": {"stringValue": run_id}},
    ]
    assert owner["scopeLogs"][0]["scope"]["name"] == "spanbook"
