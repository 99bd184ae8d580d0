"""What an attempt records, read back as a reader of the run file would."""

import os
import pickle
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from spanbook.attempt import AttemptSpec, NotebookSource
from spanbook.emitter import Batch, Emitter
from spanbook.masking import Masker
from spanbook.settings import Limits
from spanbook_runfile import Attempt, encode, names, parse_run
from spanbook_runfile.journal import Signal
from spanbook_runfile.merge import Merge
from spanbook_runfile.names import Result, SealReason, SpanType, TaskType

RUN_ID, RUN_SPAN, TASK_SPAN, SPAN_ID = "ab" * 16, "01" * 8, "02" * 8, "cd" * 8


def as_attempt(batches: Iterable[Batch]) -> Attempt:
    """The attempt that a run file with these batches holds; the counts must be the true ones."""
    resource = encode.resource({names.PIPELINE_NAME: "test"})
    merge = Merge(RUN_ID)
    common: dict[str, Any] = {"run_id": RUN_ID, "start": 1, "end": time.time_ns() + 10**9}
    spans = [
        encode.span(
            span_id=RUN_SPAN, name="RUN test", attrs={names.SPAN_TYPE: SpanType.RUN.value}, **common
        ),
        encode.span(
            span_id=TASK_SPAN,
            parent_id=RUN_SPAN,
            name="t",
            attrs={names.SPAN_TYPE: SpanType.TASK.value, names.TASK_NAME: "t"},
            **common,
        ),
        encode.span(
            span_id=SPAN_ID,
            parent_id=TASK_SPAN,
            name="t",
            attrs={
                names.SPAN_TYPE: SpanType.ATTEMPT.value,
                names.ATTEMPT_RESULT: Result.SUCCESS.value,
                names.ATTEMPT_NUMBER: 1,
            },
            **common,
        ),
    ]
    merge.add(Signal.TRACES, encode.trace_request(resource, spans).SerializeToString())
    n_records = n_points = 0
    for batch in batches:
        logs = ExportLogsServiceRequest()
        owner = logs.resource_logs.add(resource=resource)
        if batch.log_records:
            owner.scope_logs.append(ScopeLogs.FromString(batch.log_records))
        merge.add(Signal.LOGS, logs.SerializeToString())
        points = ExportMetricsServiceRequest()
        if batch.metrics:
            points.resource_metrics.add(resource=resource).scope_metrics.append(
                ScopeMetrics.FromString(batch.metrics)
            )
        merge.add(Signal.METRICS, points.SerializeToString())
        n_records += batch.n_records
        n_points += batch.n_points
    assert merge.duplicates == 0
    assert (merge.received.log_records, merge.received.metric_points) == (n_records, n_points)
    run = parse_run(merge.seal(SealReason.COMPLETE))
    (task,) = run.tasks
    (attempt,) = task.attempts
    return attempt


class Recorder:
    """An emitter whose batches are kept."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.sent: list[Batch] = []
        self.emitter = Emitter(RUN_ID, SPAN_ID, self.sent.append, masker=Masker(secrets))

    def attempt(self) -> Attempt:
        """Close the emitter and read back what it recorded."""
        return as_attempt([*self.sent, self.emitter.close()])


@pytest.fixture(name="as_attempt")
def as_attempt_fixture() -> Callable[[Iterable[Batch]], Attempt]:
    """Reads batches back."""
    return as_attempt


@pytest.fixture
def recorder() -> Recorder:
    """An emitter, and what came of it."""
    return Recorder()


@dataclass
class Ran:
    """A process in which an attempt ran."""

    attempt: Attempt
    stdout: str
    stderr: str
    n_sent: int  # batches before the last
    seconds: float


_PROCESS = """
import pickle, sys
from spanbook.capture import capture
from spanbook.emitter import Emitter
from spanbook.log import log, recording
from spanbook.masking import Masker
from spanbook.settings import Limits
from spanbook.usage import sampler
sent = []
emitter = Emitter({run_id!r}, {span_id!r}, sent.append, masker=Masker())
limits = Limits(**{limits!r})
with capture(emitter, limits.max_output_bytes), recording(emitter, limits), sampler(emitter, 0.3):
    exec(compile({code!r}, "task.py", "exec"), {{"__name__": "task", "log": log}})
last = emitter.close()
with open({out!r}, "wb") as stream:
    pickle.dump([*sent, last], stream)
"""


@pytest.fixture
def run_inside(tmp_path: Path) -> Callable[..., Ran]:
    """Run code inside an attempt, in a process of its own as Ray's workers are."""

    def run(code: str, *, env: dict[str, str] | None = None, **limits: float) -> Ran:
        out = tmp_path / "batches"
        script = _PROCESS.format(
            run_id=RUN_ID, span_id=SPAN_ID, limits=limits, code=textwrap.dedent(code), out=str(out)
        )
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **(env or {})},
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        batches = pickle.loads(out.read_bytes())
        return Ran(
            as_attempt(batches),
            done.stdout,
            done.stderr,
            len(batches) - 1,
            time.monotonic() - began,
        )

    return run


@dataclass
class Driver:
    """What a driver sees of an attempt: an ``attempt.Control`` that keeps what it is told."""

    stashed: list[Batch] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    stops: list[Callable[[], None]] = field(default_factory=list)

    def running(self) -> None:
        """The notebook's own code begins."""
        self.began.append(time.monotonic())

    def stash(self, batch: Batch) -> None:
        """A copy comes."""
        self.stashed.append(batch)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """What to call before a kill."""
        self.stops.append(callback)


def notebook_spec(
    text: str, arguments: dict[str, Any], folder: str = "", **limits: int
) -> AttemptSpec:
    """A notebook attempt."""
    return AttemptSpec(
        run_id=RUN_ID,
        task_id=TASK_SPAN,
        span_id=SPAN_ID,
        number=1,
        name="nb",
        type=TaskType.NOTEBOOK,
        function=None,
        notebook=NotebookSource("notebooks/nb.py", folder, textwrap.dedent(text), ".py"),
        arguments=arguments,
        upstream=frozenset(),
        limits=Limits(**limits),
    )


@dataclass
class Notebook:
    """A notebook that was run."""

    attempt: Attempt
    result: Any
    error: BaseException | None
    driver: Driver

    @property
    def document(self) -> Any:
        """The recorded notebook."""
        import nbformat

        (artifact,) = [a for a in self.attempt.artifacts if a.path == "notebook.ipynb"]
        assert artifact.intact
        return nbformat.reads(artifact.data.decode(), as_version=4)

    def outputs(self) -> str:
        """All outputs as text."""
        return "\n".join(str(o) for c in self.document.cells for o in c.get("outputs", ()))


@pytest.fixture
def run_notebook() -> Iterator[Callable[..., Notebook]]:
    """Run a notebook in this process's kernel host."""
    from spanbook import kernels
    from spanbook.notebook import run_notebook as execute

    def run(
        text: str,
        arguments: dict[str, Any] | None = None,
        *,
        secrets: Iterable[str] = (),
        **kwargs: Any,
    ) -> Notebook:
        os.environ.pop("PYTEST_CURRENT_TEST", None)  # ipykernel behaves otherwise where it sees it
        recorder, driver = Recorder(secrets), Driver()
        result = error = None
        try:
            result = execute(
                notebook_spec(text, arguments or {}, **kwargs), recorder.emitter, driver
            )
        except Exception as raised:  # noqa: BLE001 (tests look at it)
            error = raised
        return Notebook(recorder.attempt(), result, error, driver)

    yield run
    assert kernels._own_host().alive
