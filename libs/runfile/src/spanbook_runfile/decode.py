"""A run file, or the journal of a run in progress, as a :class:`~spanbook_runfile.model.Run`.

The input is untrusted. What is not as it should be is passed over and told in ``Run.problems``;
only bytes that are no run file at all raise.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from spanbook_runfile import names
from spanbook_runfile.errors import NotARunFileError, TooLargeError
from spanbook_runfile.merge import Merge
from spanbook_runfile.model import (
    Artifact,
    Attempt,
    Counts,
    ExceptionInfo,
    Json,
    LogLine,
    Metric,
    OtherSpan,
    Run,
    Seal,
    Task,
    UsageSample,
)
from spanbook_runfile.names import (
    ArtifactKind,
    Event,
    LinkType,
    Result,
    SealReason,
    SpanType,
    TaskType,
)
from spanbook_runfile.paths import RUN_ID, SPAN_ID

Object = dict[str, Any]
E_ = TypeVar("E_", bound=str)
MAX_LABEL = 80  # characters


def read_run(path: Path, *, max_bytes: int = 1 << 30) -> Run:
    """Read a sealed run file.

    Raises:
        NotARunFileError: the file is empty, not JSON, or no run file.
        TooLargeError: it is larger than ``max_bytes``.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise TooLargeError(
            f"{path.name} has {size:,} bytes, over the limit of {max_bytes:,} for one run file. "
            "Raise the limit if you trust the file."
        )
    return parse_run(path.read_bytes(), name=path.name)


def parse_run(content: bytes, *, name: str = "the input") -> Run:
    """Parse a run file's bytes; ``name`` is for the error messages.

    Raises:
        NotARunFileError: as for :func:`read_run`.
    """
    if not content.strip():
        raise NotARunFileError(f"{name} is empty: the run was never written to it.")
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise NotARunFileError(
            f"{name} is not JSON ({error}): it is cut short, or not a run file."
        ) from error
    if not isinstance(whole, dict) or not isinstance(whole.get("resourceSpans"), list):
        raise NotARunFileError(
            f"{name} is JSON but no run file: it has no list 'resourceSpans' on top."
        )
    return _Decoder(whole).run()


def read_journal(path: Path, run_id: str) -> Run:
    """Read a run in progress from its journal, as far as it has come.

    Raises:
        NotARunFileError: it is no journal.
        OSError: it cannot be read.
    """
    return _Decoder({**Merge.of_journal(path, run_id).sections(), "runId": run_id}).run()


def value_of(any_value: object) -> Json:
    """An OTLP JSON AnyValue as a plain value; doubles keep NaN and infinities; bytes are dropped."""
    if not isinstance(any_value, dict):
        return None
    for key, raw in any_value.items():
        if key == "stringValue":
            return str(raw)
        if key == "boolValue":
            return bool(raw)
        if key == "intValue":
            return _int(raw, 0)
        if key == "doubleValue":
            return _float(raw)
        if key == "arrayValue":
            return [value_of(v) for v in _list(_dict(raw).get("values"))]
        if key == "kvlistValue":
            return attributes_of(_dict(raw).get("values"))
    return None


def attributes_of(pairs: object) -> dict[str, Json]:
    """OTLP JSON attributes as a dict; what is malformed is left out."""
    return {
        str(pair["key"]): value_of(pair.get("value"))
        for pair in _list(pairs)
        if isinstance(pair, dict) and "key" in pair
    }


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _int(value: object, default: int | None = None) -> int:
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return default if default is not None else 0
    return int(number)


def _time(value: object) -> int | None:
    number = _int(value, 0)
    return number if 0 < number < 2**64 else None


def _float(value: object) -> float:
    if isinstance(value, str | int | float):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return math.nan
    return math.nan


def _enum(kind: type[E_], value: object, default: E_) -> E_:
    try:
        return kind(value)
    except ValueError:
        return default


def _result(value: object) -> Result | None:
    try:
        return Result(value)  # type: ignore[arg-type]
    except ValueError:
        return None


class _Span:
    """One span as far as the decoder needs it."""

    __slots__ = (
        "attrs",
        "end",
        "error",
        "id",
        "links",
        "name",
        "parent",
        "service",
        "start",
        "type",
    )

    def __init__(self, raw: Object, service: str) -> None:
        self.id = _text(raw.get("spanId"))
        self.parent = _text(raw.get("parentSpanId"))
        self.name = _text(raw.get("name"))
        self.start = _time(raw.get("startTimeUnixNano"))
        self.end = _time(raw.get("endTimeUnixNano"))
        self.attrs = attributes_of(raw.get("attributes"))
        self.type = self.attrs.get(names.SPAN_TYPE)
        self.service = service
        status = _dict(raw.get("status"))
        self.error = ""
        if status.get("code") == 2:
            self.error = _text(status.get("message")) or "error"
        self.links = [
            (_text(link.get("spanId")), attributes_of(link.get("attributes")))
            for link in _list(raw.get("links"))
            if isinstance(link, dict)
        ]


class _Log:
    """All that was logged on one span, being gathered."""

    def __init__(self) -> None:
        self.parameters: dict[str, Json] = {}
        self.tags: dict[str, str] = {}
        self.values: dict[str, Json] = {}
        self.points: dict[str, list[tuple[float, int | None, int]]] = defaultdict(list)
        self.chunks: dict[tuple[str, int], tuple[Object, dict[int, str]]] = {}
        self.lines: list[LogLine] = []
        self.exceptions: list[ExceptionInfo] = []
        self.dropped = 0

    def add(self, event: str, time: int, attrs: dict[str, Json], record: Object) -> None:
        key = _text(attrs.get(names.KEY))
        body = record.get("body")
        if event == Event.PARAMETER:
            self.parameters[key] = value_of(body)
        elif event == Event.TAG:
            self.tags[key] = _text(value_of(body))
        elif event == Event.VALUE:
            self.values[key] = value_of(body)
        elif event == Event.METRIC:
            step = attrs.get(names.METRIC_STEP)
            self.points[key].append(
                (_float(attrs.get(names.METRIC_VALUE)), None if step is None else _int(step), time)
            )
        elif event == Event.METRIC_BATCH:
            self._add_batch(key, time, attrs)
        elif event == Event.ARTIFACT:
            slot = (
                _text(attrs.get(names.ARTIFACT_PATH)),
                _int(attrs.get(names.ARTIFACT_VERSION), 1),
            )
            head, chunks = self.chunks.setdefault(slot, ({**attrs, "time": time}, {}))
            chunks[_int(attrs.get(names.CHUNK_INDEX), 0)] = _text(_dict(body).get("bytesValue"))
        elif event == Event.OUTPUT_TRUNCATED:
            self.dropped += max(0, _int(attrs.get(names.DROPPED_BYTES), 0))
        elif event == Event.EXCEPTION or names.EXCEPTION_TYPE in attrs:
            self.exceptions.append(
                ExceptionInfo(
                    time,
                    _text(attrs.get(names.EXCEPTION_TYPE)),
                    _text(attrs.get(names.EXCEPTION_MESSAGE)),
                    _text(attrs.get(names.EXCEPTION_STACKTRACE)),
                )
            )
        elif body is not None:
            text = value_of(body)
            self.lines.append(
                LogLine(
                    time,
                    _text(attrs.get(names.IOSTREAM)) or "log",
                    text if isinstance(text, str) else orjson.dumps(text).decode(),
                    _text(record.get("severityText")),
                    _text(attrs.get(names.LOGGER_NAME)),
                )
            )

    def _add_batch(self, key: str, time: int, attrs: dict[str, Json]) -> None:
        values = _list(attrs.get(names.METRIC_VALUES))
        steps = _list(attrs.get(names.METRIC_STEPS))
        times = _list(attrs.get(names.METRIC_TIMES))
        for index, value in enumerate(values):
            step = steps[index] if index < len(steps) else None
            self.points[key].append(
                (
                    _float(value),
                    None if step is None else _int(step),
                    (_time(times[index]) if index < len(times) else None) or time,
                )
            )

    def recorded(self) -> dict[str, Any]:
        """The keyword arguments of :class:`Recorded`."""
        metrics = {}
        for key, points in self.points.items():
            values, steps, times = zip(*points, strict=True)
            metrics[key] = Metric(key, values, steps, times)
        return {
            "parameters": self.parameters,
            "tags": self.tags,
            "values": self.values,
            "metrics": metrics,
            "artifacts": tuple(self._artifacts()),
            "logs": tuple(self.lines),
            "exceptions": tuple(self.exceptions),
            "dropped_output_bytes": self.dropped,
        }

    def _artifacts(self) -> Iterator[Artifact]:
        last: dict[str, Artifact] = {}
        for (path, version), (head, chunks) in sorted(self.chunks.items()):
            count = _int(head.get(names.CHUNK_COUNT), 1)
            complete = sorted(chunks) == list(range(len(chunks))) and len(chunks) == count
            earlier = last.get(path)
            if earlier and earlier.complete and not complete:
                continue
            meta = head.get(names.ARTIFACT_META)
            last[path] = Artifact(
                path=path,
                media_type=_text(head.get(names.ARTIFACT_MEDIA_TYPE)) or "application/octet-stream",
                size=max(0, _int(head.get(names.ARTIFACT_SIZE), 0)),
                sha256=_text(head.get(names.ARTIFACT_SHA256)),
                kind=_enum(ArtifactKind, head.get(names.ARTIFACT_KIND), ArtifactKind.FILE),
                meta=meta if isinstance(meta, dict) else {},
                version=version,
                time=_int(head.get("time"), 0),
                chunks=tuple(chunk for _, chunk in sorted(chunks.items())),
                complete=complete,
            )
        yield from last.values()


class _Decoder:
    def __init__(self, whole: Object) -> None:
        self.whole = whole
        self.problems: list[str] = []
        self.logs: dict[str, _Log] = defaultdict(_Log)
        self.declared_tasks: dict[str, dict[str, Json]] = {}
        self.started_attempts: dict[str, tuple[int, dict[str, Json]]] = {}
        self.run_started: tuple[int, str, dict[str, Json]] | None = None
        self.usage: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        self.resource: dict[str, Json] = {}

    def run(self) -> Run:
        spans = self._spans()
        self._log_records()
        self._metric_points()
        runs = [s for s in spans if s.type == SpanType.RUN]
        if len(runs) > 1:
            self.problems.append(f"{len(runs)} run spans in one file; the first counts.")
        run_span = runs[0] if runs else None
        seal = self._seal()
        run_id = _text(_dict(self.whole.get("spanbook")).get("runId") or self.whole.get("runId"))
        if not RUN_ID.fullmatch(run_id):
            run_id = next(
                (_text(t) for t in self._trace_ids() if RUN_ID.fullmatch(_text(t))), "0" * 32
            )
            self.problems.append("The file has no run id of its own.")
        tasks = self._tasks(spans)
        foreign = run_span is None and self.run_started is None
        others = tuple(
            OtherSpan(s.id, s.parent, s.name, s.start or 0, s.end or 0, s.service, s.error, s.attrs)
            for s in spans
            if s.type not in (SpanType.RUN, SpanType.TASK, SpanType.ATTEMPT)
        )
        root_id = run_span.id if run_span else self.run_started[1] if self.run_started else ""
        owner = self.logs.pop(root_id, None) or _Log()
        for stray in self.logs.values():  # logs of no span of ours: shown with the run
            owner.lines += stray.lines
            owner.exceptions += stray.exceptions
        owner.lines.sort(key=lambda line: line.time)
        starts = [s.start for s in spans if s.start]
        start = run_span.start if run_span else self.run_started[0] if self.run_started else None
        return Run(
            id=run_id,
            pipeline=_text(
                self.resource.get(names.PIPELINE_NAME)
                or (run_span and run_span.attrs.get(names.PIPELINE_NAME))
                or self.resource.get(names.SERVICE_NAME)
                or "unnamed"
            ),
            result=_result(run_span.attrs.get(names.RESULT)) if run_span else None,
            start=start or min(starts, default=None),
            end=run_span.end
            if run_span
            else max((s.end for s in spans if s.end), default=None)
            if foreign
            else None,
            tasks=tasks,
            resource=self.resource,
            attributes=run_span.attrs if run_span else {},
            error_type=_text(run_span.attrs.get(names.ERROR_TYPE)) if run_span else "",
            error_message=run_span.error if run_span else "",
            seal=seal,
            other_spans=others,
            foreign=foreign,
            problems=tuple(self.problems),
            **owner.recorded(),
        )

    def _section(
        self, top: str, group: str, items: str
    ) -> Iterator[tuple[dict[str, Json], Object]]:
        for block in _list(self.whole.get(top)):
            resource = attributes_of(_dict(_dict(block).get("resource")).get("attributes"))
            for part in _list(_dict(block).get(group)):
                for item in _list(_dict(part).get(items)):
                    if isinstance(item, dict):
                        yield resource, item

    def _trace_ids(self) -> Iterator[object]:
        for _, raw in self._section("resourceSpans", "scopeSpans", "spans"):
            yield raw.get("traceId")

    def _spans(self) -> list[_Span]:
        spans: dict[str, _Span] = {}
        for resource, raw in self._section("resourceSpans", "scopeSpans", "spans"):
            span = _Span(raw, _text(resource.get(names.SERVICE_NAME)))
            if not SPAN_ID.fullmatch(span.id):
                self.problems.append(f"A span has the id {span.id[:40]!r}, not 16 hex digits.")
            elif span.id in spans:
                self.problems.append(f"Two spans have the id {span.id}; the first counts.")
            else:
                spans[span.id] = span
                if span.type == SpanType.RUN or not self.resource:
                    self.resource = resource
        return list(spans.values())

    def _log_records(self) -> None:
        for resource, record in self._section("resourceLogs", "scopeLogs", "logRecords"):
            if not self.resource:
                self.resource = resource
            span_id = _text(record.get("spanId"))
            event = _text(record.get("eventName"))
            time = (
                _time(record.get("timeUnixNano")) or _time(record.get("observedTimeUnixNano")) or 0
            )
            attrs = attributes_of(record.get("attributes"))
            if event == Event.RUN_STARTED:
                self.run_started = (time, span_id, attrs)
            elif event == Event.TASK_DECLARED:
                self.declared_tasks[span_id] = attrs
            elif event == Event.ATTEMPT_STARTED:
                self.started_attempts[span_id] = (time, attrs)
            else:
                self.logs[span_id].add(event, time, attrs, record)

    def _metric_points(self) -> None:
        for _, metric in self._section("resourceMetrics", "scopeMetrics", "metrics"):
            name = metric.get("name")
            if name not in (names.CPU_UTILIZATION, names.MEMORY_USAGE):
                continue
            for point in _list(_dict(metric.get("gauge")).get("dataPoints")):
                attrs = attributes_of(_dict(point).get("attributes"))
                time = _time(_dict(point).get("timeUnixNano")) or 0
                value = _float(_dict(point).get("asDouble", _dict(point).get("asInt")))
                self.usage[_text(attrs.get(names.ATTEMPT_ID))][time][name] = value

    def _tasks(self, spans: list[_Span]) -> tuple[Task, ...]:
        found: dict[str, _Span | None] = dict.fromkeys(self.declared_tasks)
        found.update({s.id: s for s in spans if s.type == SpanType.TASK})
        attempts: dict[str, list[Attempt]] = defaultdict(list)
        ended = set()
        for span in spans:
            if span.type == SpanType.ATTEMPT:
                ended.add(span.id)
                attempts[span.parent].append(self._attempt(span.id, span, span.attrs, span.start))
        for span_id, (time, attrs) in self.started_attempts.items():
            if span_id not in ended:
                owner = _text(attrs.get(names.TASK_RUN_ID))
                attempts[owner].append(self._attempt(span_id, None, attrs, time))
        tasks = []
        for task_id, task_span in found.items():
            tries = tuple(sorted(attempts.pop(task_id, ()), key=lambda a: a.number))
            tasks.append(self._task(task_id, task_span, tries))
        if attempts:
            self.problems.append("There are attempts of tasks that the file does not hold.")
        known = {task.id for task in tasks}
        tasks = [
            replace(
                t, upstream=tuple(dict.fromkeys(u for u in t.upstream if u in known and u != t.id))
            )
            for t in tasks
        ]
        tasks.sort(key=lambda t: (t.index, t.start or 0, t.id))
        return tuple(_labelled(tasks))

    def _task(self, task_id: str, span: _Span | None, attempts: tuple[Attempt, ...]) -> Task:
        attrs = dict(self.declared_tasks.get(task_id, {}))
        upstream = [_text(u) for u in _list(attrs.pop(names.TASK_UPSTREAM, None))]
        cause = None
        if span:
            attrs.update(span.attrs)
            upstream = []
            for target, link in span.links:
                if link.get(names.LINK_TYPE) == LinkType.CAUSE:
                    cause = target
                else:
                    upstream.append(target)
        return Task(
            id=task_id,
            name=_text(attrs.get(names.TASK_NAME)) or (span.name if span else "") or "unnamed",
            index=_int(attrs.get(names.TASK_INDEX), 0),
            type=_enum(TaskType, attrs.get(names.TASK_TYPE), TaskType.PYTHON),
            result=_result(attrs.get(names.TASK_RESULT)) if span else None,
            start=span.start if span else None,
            end=span.end if span else None,
            upstream=tuple(upstream),
            cause=cause,
            attempts=attempts,
            group=_text(attrs.get(names.TASK_GROUP)),
            source=_text(attrs.get(names.TASK_SOURCE)),
            error_type=_text(attrs.get(names.ERROR_TYPE)) if span else "",
            error_message=span.error if span else "",
            attributes=attrs,
        )

    def _attempt(
        self, span_id: str, span: _Span | None, attrs: Mapping[str, Json], start: int | None
    ) -> Attempt:
        log = self.logs.pop(span_id, None) or _Log()
        pid = attrs.get(names.PROCESS_PID)
        return Attempt(
            id=span_id,
            number=_int(attrs.get(names.ATTEMPT_NUMBER), 1),
            result=_result(attrs.get(names.ATTEMPT_RESULT)) if span else None,
            queued=_time(attrs.get(names.ATTEMPT_QUEUED)),
            start=start,
            running=_time(attrs.get(names.ATTEMPT_RUNNING)),
            end=span.end if span else None,
            error_type=_text(attrs.get(names.ERROR_TYPE)),
            error_message=span.error if span else "",
            host=_text(attrs.get(names.HOST_NAME)),
            pid=None if pid is None else _int(pid),
            node=_text(attrs.get(names.ATTEMPT_NODE)),
            usage=tuple(self._samples(span_id)),
            **log.recorded(),
        )

    def _samples(self, span_id: str) -> Iterator[UsageSample]:
        for time, found in sorted(self.usage.pop(span_id, {}).items()):
            memory = found.get(names.MEMORY_USAGE)
            finite = memory is not None and math.isfinite(memory)
            yield UsageSample(
                time, found.get(names.CPU_UTILIZATION), int(memory) if finite and memory else None
            )

    def _seal(self) -> Seal | None:
        note = self.whole.get("spanbook")
        if not isinstance(note, dict):
            return None
        if _int(note.get("format"), 0) > names.FORMAT_VERSION:
            self.problems.append(
                f"The file is of format {note.get('format')}; this reader knows up to "
                f"{names.FORMAT_VERSION}. Update spanbook to see all of it."
            )
        declared = note.get("declared")
        return Seal(
            format=_int(note.get("format"), 0),
            sealed_at=_text(note.get("sealedAt")),
            reason=_enum(SealReason, note.get("reason"), SealReason.IDLE),
            received=_counts(_dict(note.get("received"))),
            declared=_counts(declared) if isinstance(declared, dict) else None,
            duplicates=_int(note.get("duplicates"), 0),
            digest=_text(note.get("digest")),
        )


def _counts(raw: Object) -> Counts:
    return Counts(
        _int(raw.get("spans"), 0), _int(raw.get("logRecords"), 0), _int(raw.get("metricPoints"), 0)
    )


def _labelled(tasks: Iterable[Task]) -> Iterator[Task]:
    """Tasks of one name get a label of the scalar parameters in which they differ."""
    by_name: dict[str, list[Task]] = defaultdict(list)
    tasks = list(tasks)
    for task in tasks:
        by_name[task.name].append(task)
    for task in tasks:
        siblings = by_name[task.name]
        if len(siblings) == 1:
            yield task
            continue
        yield replace(task, label=_label(task, siblings) or f"#{siblings.index(task) + 1}")


def _label(task: Task, siblings: list[Task]) -> str:
    mine = _scalars(task)
    parts = []
    for key, value in mine.items():
        if any(_scalars(s).get(key) != value for s in siblings):
            parts.append(f"{key}={value}")
    return ", ".join(parts)[:MAX_LABEL]


def _scalars(task: Task) -> Mapping[str, Json]:
    final = task.final
    if final is None:
        return {}
    return {
        k: v for k, v in final.parameters.items() if isinstance(v, str | int | float) and v == v
    }


__all__ = ["attributes_of", "parse_run", "read_journal", "read_run", "value_of"]
