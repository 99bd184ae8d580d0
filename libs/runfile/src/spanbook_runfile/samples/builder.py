"""A run composed by hand, and sent as a runner would send it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanbook_runfile import encode, names
from spanbook_runfile.journal import MAGIC, Signal, frame
from spanbook_runfile.merge import Merge
from spanbook_runfile.names import (
    Event,
    LinkType,
    Result,
    SealReason,
    SpanType,
    TaskType,
)
from spanbook_runfile.samples.log import SampleLog

SECOND = 10**9
START = 1_790_000_000 * SECOND  # 2026-09-21T14:13:20Z
BATCH = 64  # items a request


def hex_id(text: str, digits: int) -> str:
    """An id that depends on ``text`` alone, so that samples are the same each time."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


class SampleRun:
    """A run being composed; times are given in seconds from its start."""

    def __init__(
        self,
        name: str,
        *,
        pipeline: str = "mnist-digits",
        start: int = START,
        resource: Mapping[str, object] | None = None,
    ) -> None:
        self.id = hex_id(f"run {name}", 32)
        self.span_id = hex_id(f"run span {name}", 16)
        self.pipeline = pipeline
        self.start = start
        self.owner = encode.resource(
            {
                names.SERVICE_NAME: "spanbook",
                names.SERVICE_VERSION: "0.1.0",
                names.PIPELINE_NAME: pipeline,
                names.PIPELINE_RUN_ID: self.id,
                names.PYTHON_VERSION: "3.13.9",
                names.HOST_NAME: "runner-1",
                names.TRIGGER: "local",
                **(resource or {}),
            }
        )
        self.tasks: list[SampleTask] = []
        self.end = start
        self.sent: list[tuple[int, Signal, Message]] = []
        self._counts = dict.fromkeys(Signal, 0)
        self.log = SampleLog(self, self.span_id)
        self.log.record(0, Event.RUN_STARTED, attrs={names.PIPELINE_NAME: pipeline})

    def at(self, seconds: float) -> int:
        """A moment of the run, in nanoseconds since the epoch."""
        return min(self.start + round(seconds * SECOND), 2**63 - 1)

    def send(self, time: int, signal: Signal, item: Message) -> None:
        """Have one span, log record or metric sent at ``time``."""
        self._counts[signal] += 1
        self.sent.append((time, signal, item))
        self.end = max(self.end, time)

    def task(
        self,
        name: str,
        *,
        after: Sequence["SampleTask"] = (),
        kind: str = TaskType.PYTHON,
        attrs: Mapping[str, object] | None = None,
    ) -> "SampleTask":
        """Declare a task."""
        task = SampleTask(self, name, after, kind, attrs or {})
        self.tasks.append(task)
        return task

    def finish(
        self,
        result: str = Result.SUCCESS,
        *,
        error_type: str | None = None,
        message: str | None = None,
        declared: bool = True,
    ) -> "SampleRun":
        """End the run: send its span, which declares all that was sent."""
        counts: dict[str, object] = {}
        if declared:
            counts = {
                names.DECLARED_SPANS: self._counts[Signal.TRACES] + 1,
                names.DECLARED_LOG_RECORDS: self._counts[Signal.LOGS],
                names.DECLARED_METRIC_POINTS: self._counts[Signal.METRICS],
            }
        span = encode.span(
            run_id=self.id,
            span_id=self.span_id,
            name=f"RUN {self.pipeline}",
            start=self.start,
            end=self.end,
            kind=Span.SPAN_KIND_SERVER,
            attrs={
                names.SPAN_TYPE: SpanType.RUN,
                names.ACTION_NAME: "RUN",
                names.PIPELINE_NAME: self.pipeline,
                names.RESULT: result,
                names.ERROR_TYPE: error_type,
                **counts,
            },
            error=message,
        )
        self.send(self.end, Signal.TRACES, span)
        return self

    def frames(self) -> Iterator[tuple[Signal, bytes]]:
        """Export requests in the order of time, each of one signal and at most BATCH items."""
        held: dict[Signal, list[Any]] = {signal: [] for signal in Signal}
        for _, signal, item in sorted(self.sent, key=lambda sent: sent[0]):
            held[signal].append(item)
            if len(held[signal]) == BATCH:
                yield signal, self._request(signal, held[signal])
                held[signal] = []
        for signal, items in held.items():
            if items:
                yield signal, self._request(signal, items)

    def _request(self, signal: Signal, items: list[Any]) -> bytes:
        request: Message
        if signal is Signal.TRACES:
            request = encode.trace_request(self.owner, items)
        elif signal is Signal.LOGS:
            request = encode.logs_request(self.owner, items)
        else:
            request = encode.metrics_request(self.owner, items)
        return bytes(request.SerializeToString())

    def journal(self) -> bytes:
        """The run as a journal."""
        return MAGIC + b"".join(frame(signal, payload) for signal, payload in self.frames())

    def sealed(self, reason: SealReason = SealReason.COMPLETE) -> bytes:
        """The run as a run file, sealed one second after its end."""
        merge = Merge(self.id)
        for signal, payload in self.frames():
            merge.add(signal, payload)
        seconds = min(self.end // SECOND + 1, 253_402_300_799)
        return merge.seal(reason, datetime.fromtimestamp(seconds, UTC))


class SampleTask:
    """A task being composed."""

    def __init__(
        self,
        run: SampleRun,
        name: str,
        after: Sequence["SampleTask"],
        kind: str,
        attrs: Mapping[str, object],
    ) -> None:
        self.run = run
        self.name = name
        self.after = list(after)
        self.id = hex_id(f"{run.id} task {len(run.tasks)}", 16)
        self.attrs = {
            names.SPAN_TYPE: SpanType.TASK,
            names.TASK_NAME: name,
            names.TASK_RUN_ID: self.id,
            names.TASK_TYPE: kind,
            names.TASK_INDEX: len(run.tasks),
            **attrs,
        }
        self.started: float | None = None
        self.last = 0.0
        self.attempts_made: list[SampleAttempt] = []
        upstream = {names.TASK_UPSTREAM: [task.id for task in after]}
        SampleLog(run, self.id).record(0, Event.TASK_DECLARED, attrs={**self.attrs, **upstream})

    def attempt(
        self, queued: float, start: float | None = None, **attrs: object
    ) -> "SampleAttempt":
        """Start an attempt, queued at one time and started at another."""
        start = queued + 0.05 if start is None else start
        if self.started is None:
            self.started = queued
        attempt = SampleAttempt(self, len(self.attempts_made) + 1, queued, start, attrs)
        self.attempts_made.append(attempt)
        return attempt

    def end(
        self,
        result: str = Result.SUCCESS,
        *,
        at: float | None = None,
        error_type: str | None = None,
        message: str | None = None,
        cause: "SampleTask | None" = None,
    ) -> "SampleTask":
        """End the task with its span, at its last attempt's end or at ``at``."""
        self.last = max(self.last, at or 0.0)
        links: list[tuple[str, dict[str, object]]] = [
            (task.id, {names.LINK_TYPE: LinkType.UPSTREAM, names.LINK_ARGUMENT: f"arg{i}"})
            for i, task in enumerate(self.after)
        ]
        if cause:
            links.append((cause.id, {names.LINK_TYPE: LinkType.CAUSE}))
        end = self.run.at(self.last)
        span = encode.span(
            run_id=self.run.id,
            span_id=self.id,
            parent_id=self.run.span_id,
            name=self.name,
            start=self.run.at(self.last if self.started is None else self.started),
            end=end,
            attrs={**self.attrs, names.TASK_RESULT: result, names.ERROR_TYPE: error_type},
            links=links,
            error=message,
        )
        self.run.send(end, Signal.TRACES, span)
        return self


class SampleAttempt(SampleLog):
    """An attempt being composed: what is logged on it, its CPU and memory, and its end."""

    def __init__(
        self,
        task: SampleTask,
        number: int,
        queued: float,
        start: float,
        attrs: Mapping[str, object],
    ) -> None:
        super().__init__(task.run, hex_id(f"{task.id} attempt {number}", 16))
        self.task = task
        self.start = start
        self.attrs = {
            names.SPAN_TYPE: SpanType.ATTEMPT,
            names.TASK_RUN_ID: task.id,
            names.ATTEMPT_NUMBER: number,
            names.ATTEMPT_QUEUED: self.run.at(queued),
            names.HOST_NAME: "runner-1",
            names.PROCESS_PID: 4000 + len(self.run.tasks) * 10 + number,
            names.ATTEMPT_NODE: hex_id("node", 56),
            **attrs,
        }
        self.record(start, Event.ATTEMPT_STARTED, attrs=self.attrs)

    def usage(self, until: float, every: float = 1.0, cpu: float = 0.97, memory: int = 180) -> None:
        """Send CPU (cores) and memory (MiB) samples up to a time."""
        for number in range(max(1, int((until - self.start) / every))):
            at = self.run.at(self.start + number * every)
            of = {names.ATTEMPT_ID: self.span_id}
            cores = cpu * (1 - 0.3 * (number % 3 == 0))
            used = float((memory + 7 * min(number, 20)) << 20)
            gauges = [
                encode.gauge(names.CPU_UTILIZATION, "{cpu}", [(at, cores, of)]),
                encode.gauge(names.MEMORY_USAGE, "By", [(at, used, of)]),
            ]
            for gauge in gauges:
                self.run.send(at, Signal.METRICS, gauge)

    def end(
        self,
        at: float,
        result: str = Result.SUCCESS,
        *,
        error_type: str | None = None,
        message: str | None = None,
    ) -> SampleTask:
        """End the attempt with its span."""
        self.task.last = max(self.task.last, at)
        span = encode.span(
            run_id=self.run.id,
            span_id=self.span_id,
            parent_id=self.task.id,
            name=f"{self.task.name} attempt {self.attrs[names.ATTEMPT_NUMBER]}",
            start=self.run.at(self.start),
            end=self.run.at(at),
            attrs={
                **self.attrs,
                names.ATTEMPT_RUNNING: self.run.at(min(self.start + 0.02, at)),
                names.ATTEMPT_RESULT: result,
                names.ERROR_TYPE: error_type,
            },
            error=message,
        )
        self.run.send(self.run.at(at), Signal.TRACES, span)
        return self.task
