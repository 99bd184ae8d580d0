"""Real collectors for the tests: started as processes, spoken to over the wire."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from spanbook_runfile import encode, names

PACKAGE = "opentelemetry.proto.collector"
METHODS = {
    "traces": f"/{PACKAGE}.trace.v1.TraceService/Export",
    "logs": f"/{PACKAGE}.logs.v1.LogsService/Export",
    "metrics": f"/{PACKAGE}.metrics.v1.MetricsService/Export",
}


_COMMAND = (sys.executable, "-m", "spanbook_collector.cli")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes


def http(method: str, url: str, body: bytes | None = None, **headers: str) -> Reply:
    """One HTTP request; every status is an answer, not an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, headers=named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


class Zygote:
    """The process that forks collectors (zygote.py); it is started when the first is wanted."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._codes: dict[int, int] = {}
        self._heard = b""
        self._turn = threading.RLock()  # tests may have collectors in several threads

    def fork(self, options: list[str], log: Path) -> "Forked":
        """Start a collector."""
        with self._turn:
            return self._fork(options, log)

    def _fork(self, options: list[str], log: Path) -> "Forked":
        if self._process is None:
            script = Path(__file__).with_name("zygote.py")
            self._process = subprocess.Popen(
                [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        self._process.stdin.write(
            json.dumps({"options": options, "log": str(log)}).encode() + b"\n"
        )
        self._process.stdin.flush()
        while (pid := self._listen()) is None:
            select.select([self._process.stdout], [], [], 1)
        self._codes.pop(pid, None)
        return Forked(pid, self)

    def code(self, pid: int) -> int | None:
        """The exit code of one that ended."""
        with self._turn:
            self._listen()
            return self._codes.get(pid)

    def _listen(self) -> int | None:
        """Take note of those that ended; the one that was started, if one was."""
        while select.select([self._process.stdout], [], [], 0)[0]:
            more = os.read(self._process.stdout.fileno(), 65536)
            assert more, "the zygote is gone"
            self._heard += more
        *lines, self._heard = self._heard.split(b"\n")
        started = None
        for told in map(json.loads, lines):
            if "code" in told:
                self._codes[told["pid"]] = told["code"]
            else:
                started = told["pid"]
        return started

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate(timeout=30)


@dataclass
class Forked:
    """A forked collector, with what the tests use of :class:`subprocess.Popen`."""

    pid: int
    zygote: Zygote

    def poll(self) -> int | None:
        """Its exit code, once it ended."""
        return self.zygote.code(self.pid)

    def wait(self, timeout: float = 30) -> int:
        """Its exit code, waited for."""
        wait_for(lambda: self.poll() is not None, timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Signal it, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9."""
        self.send_signal(signal.SIGKILL)


ZYGOTE = Zygote()


@pytest.fixture(scope="session", autouse=True)
def _zygote() -> Iterator[None]:
    yield
    ZYGOTE.close()


@dataclass
class Process:
    """A collector process on free ports: forked, or from the start where its environment is told."""

    outputs: Path
    options: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict)
    files: int = 0  # how many it may have open, where that is limited
    popen: "subprocess.Popen[bytes] | Forked | None" = None
    address: str = ""
    http: str = ""
    _channel: grpc.Channel | None = None

    def start(self) -> "Process":
        """Start it and wait until it listens."""
        ready = self.outputs.parent / f"{self.outputs.name}.ready"
        ready.unlink(missing_ok=True)
        options = ["--outputs", str(self.outputs), "--grpc-port=0", "--http-port=0"]
        options += [f"--ready-file={ready}", *self.options]
        log = self.outputs.parent / f"{self.outputs.name}.log"
        if not self.environ and not self.files:
            self.popen = ZYGOTE.fork(options, log)
        else:
            with log.open("ab") as stream:
                limit = f"ulimit -n {self.files};" if self.files else ""
                self.popen = subprocess.Popen(
                    ["sh", "-c", f'{limit} exec "$@"', "sh", *_COMMAND, *options],
                    stdout=subprocess.DEVNULL,
                    stderr=stream,
                    env={**os.environ, **self.environ},
                )
        wait_for(lambda: ready.exists() or self.popen.poll() is not None, 60)
        assert ready.exists(), self.log
        addresses = json.loads(ready.read_text())
        self.address, self.http = addresses["grpc"], addresses["http"]
        return self

    @property
    def log(self) -> str:
        """All that it logged."""
        return (self.outputs.parent / f"{self.outputs.name}.log").read_text()

    def export(self, signal_name: str, payload: bytes, timeout: float = 30) -> bytes:
        """One gRPC export."""
        if self._channel is None:
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channel = grpc.insecure_channel(self.address, options=options)
        answer: bytes = self._channel.unary_unary(METHODS[signal_name])(payload, timeout=timeout)
        return answer

    def post(self, signal_name: str, body: bytes, **headers: str) -> Reply:
        """One HTTP export, protobuf unless told otherwise."""
        headers.setdefault("Content_Type", "application/x-protobuf")
        return http("POST", f"{self.http}/v1/{signal_name}", body, **headers)

    def health(self) -> dict[str, Any]:
        """What /healthz says."""
        told: dict[str, Any] = json.loads(http("GET", f"{self.http}/healthz").body)
        return told

    def memory(self) -> int:
        """Peak resident bytes of the process."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return (
            next(int(li.split()[1]) for li in status.splitlines() if li.startswith("VmHWM")) * 1024
        )

    def run_file(self, run_id: str) -> Path:
        """Where the sealed run is, or will be."""
        return self.outputs / "runs" / f"{run_id}.json"

    def sealed(self, run_id: str, seconds: float = 20) -> dict[str, Any]:
        """The sealed run, waited for."""
        wait_for(self.run_file(run_id).exists, seconds)
        whole: dict[str, Any] = json.loads(self.run_file(run_id).read_bytes())
        return whole

    def give_up(self) -> None:
        """Start again with limits of no seconds: what is in progress is sealed as it is.

        As an idle limit would do it, but never between two requests of a client that is slow.
        """
        assert self.stop() == 0
        self.options = (*self.options, "--idle=0", "--grace=0")
        self.start()

    def kill(self) -> None:
        """Kill -9."""
        self._disconnect()
        self.popen.kill()
        self.popen.wait()

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; the exit code."""
        self._disconnect()
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


class Otlp:
    """Builds requests, as bytes."""

    @staticmethod
    def id(size: int = 16) -> str:
        """A random id in hex."""
        return os.urandom(size).hex()

    @staticmethod
    def spans(
        run_id: str,
        count: int = 1,
        *,
        ids: list[str] | None = None,
        declared: tuple[int, int, int] | None = None,
        **attrs: object,
    ) -> bytes:
        """Spans of a run; with ``declared`` the last is its run span."""
        ids = ids or [os.urandom(8).hex() for _ in range(count)]
        spans = [
            encode.span(run_id=run_id, span_id=i, name="step", start=1_000, end=2_000, attrs=attrs)
            for i in ids
        ]
        if declared:
            spans[-1] = encode.span(
                run_id=run_id,
                span_id=ids[-1],
                name="RUN test",
                kind=2,
                start=1_000,
                end=2_000,
                attrs={
                    names.SPAN_TYPE: "run",
                    names.RESULT: "success",
                    names.DECLARED_SPANS: declared[0],
                    names.DECLARED_LOG_RECORDS: declared[1],
                    names.DECLARED_METRIC_POINTS: declared[2],
                },
            )
        owner = encode.resource({names.SERVICE_NAME: "test"})
        return encode.trace_request(owner, spans).SerializeToString()

    @staticmethod
    def logs(run_id: str, record_ids: list[str], body: object = "line") -> bytes:
        """Log records with ids of ours; an empty ``run_id`` for records without a trace."""
        records = [
            encode.log_record(run_id=run_id, span_id="", record_id=i, time=1_000, body=body)
            for i in record_ids
        ]
        owner = encode.resource({names.SERVICE_NAME: "test"})
        return encode.logs_request(owner, records).SerializeToString()

    @staticmethod
    def metrics(resource: dict[str, object], times: list[int]) -> bytes:
        """Points of one gauge."""
        gauge = encode.gauge("test.load", "1", [(t, 0.5, {"k": "v"}) for t in times])
        return encode.metrics_request(encode.resource(resource), [gauge]).SerializeToString()


@pytest.fixture
def otlp() -> Otlp:
    """Requests to send."""
    return Otlp()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts collectors; those still running at the end are killed."""
    started: list[Process] = []

    def start(*options: str, outputs: Path | None = None, **more: Any) -> Process:
        outputs = outputs or tmp_path / f"outputs-{len(started)}"
        process = Process(outputs, ("--min-free-bytes=0", *options), **more)
        started.append(process)
        return process.start()

    yield start
    for process in started:
        if process.popen is not None and process.popen.poll() is None:
            process.kill()


@pytest.fixture(scope="module")
def module_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One collector for all tests of a module."""
    outputs = tmp_path_factory.mktemp("collector") / "outputs"
    process = Process(outputs, ("--min-free-bytes=0", "--grace=60")).start()
    yield process
    process.kill()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition."""
    return wait_for
