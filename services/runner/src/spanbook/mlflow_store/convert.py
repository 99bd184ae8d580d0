"""A run of MLflow, and what is nested in it, as one run file.

The same content gives the same bytes before the seal, so that the same store gives the same files.
"""

import functools
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.disk import write_aside
from spanbook_runfile.journal import Signal
from spanbook_runfile.merge import Merge
from spanbook_runfile.names import Event, Result, SealReason, SpanType, TaskType
from spanbook_runfile.paths import RUN_ID

from spanbook.context import repository_url
from spanbook.mlflow_store.files import Found, Limits, locate, walk
from spanbook.mlflow_store.store import Content, Point, Store, StoredRun

_MS = 1_000_000  # nanoseconds
_BATCH = 200  # log records a request
_POINTS = 5_000  # of a metric in one record
_RESULTS = {
    "FINISHED": Result.SUCCESS,
    "FAILED": Result.FAILURE,
    "KILLED": Result.CANCELLATION,
}


@dataclass(slots=True)
class Family:
    """A run that is nested in none, and those nested in it, by their start."""

    root: StoredRun
    nested: list[StoredRun] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)  # nested run id → its parents' names

    @property
    def id(self) -> str:
        """The run id of the run file: MLflow's own, which has the same form."""
        return run_id_of(self.root.id)


def run_id_of(mlflow_id: str) -> str:
    """MLflow's run id, or a digest of one that is no 32 hex digits."""
    usable = RUN_ID.fullmatch(mlflow_id) and set(mlflow_id) != {"0"}
    return mlflow_id if usable else hashlib.sha256(mlflow_id.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Told:
    """What could not be taken along."""

    too_large: int = 0
    elsewhere: list[str] = field(default_factory=list)  # artifact addresses that are not here


def write(family: Family, store: Store, into: Path, limits: Limits | None) -> tuple[Path, Told]:
    """Write the run file of a family; ``limits`` of None leaves all files out.

    Raises:
        OSError: the disk refused, or a file of the store cannot be read.
    """
    with tempfile.TemporaryFile(dir=into, prefix=f".{family.id}.") as scratch:
        writer = _Writer(family, store, Merge(family.id, cast("BinaryIO", scratch)), limits)
        writer.run()
        path = write_aside(
            into, family.id, lambda stream: writer.merge.write(stream, SealReason.IMPORT)
        )
    return path, writer.told


class _Writer:
    """Composes one run file."""

    def __init__(self, family: Family, store: Store, merge: Merge, limits: Limits | None) -> None:
        self.family = family
        self.store = store
        self.merge = merge
        self.limits = limits
        self.left = limits.run if limits else 0
        self.told = Told()
        self.pipeline = family.root.experiment
        self._records: list[Any] = []
        self._numbers: dict[str, int] = {}

    def _span_id(self, *of: str) -> str:
        return hashlib.sha256(" ".join((self.family.id, *of)).encode()).hexdigest()[:16]

    def run(self) -> None:
        """Send everything: the tasks, then the run's own span, which declares how much there is."""
        root = self.family.root
        content = self.store.content(root)
        self.owner = encode.resource(self._resource(root, content.tags))
        span = self._span_id("run")
        start, end = _ns(root.start), self._end(root, content)
        self._log(span, start, Event.RUN_STARTED, attrs={names.PIPELINE_NAME: self.pipeline})
        for key, text in (("imported_from", "MLflow"), ("mlflow.runName", root.name)):
            self._log(span, start, Event.TAG, text, {names.KEY: key})
        for index, run in enumerate([root, *self.family.nested]):
            own = content if run is root else self.store.content(run)
            end = max(end, self._task(index, run, own))
        self._flush()
        if root.ended:
            self._run_span(span, start, end)

    def _run_span(self, span_id: str, start: int, end: int) -> None:
        root, sent = self.family.root, self.merge.received
        span = encode.span(
            run_id=self.family.id,
            span_id=span_id,
            name=f"RUN {self.pipeline}",
            start=start,
            end=end,
            kind=Span.SPAN_KIND_SERVER,
            attrs={
                names.SPAN_TYPE: SpanType.RUN,
                names.ACTION_NAME: "RUN",
                names.PIPELINE_NAME: self.pipeline,
                names.RESULT: _RESULTS[root.status],
                names.ERROR_TYPE: _error_type(root),
                names.DECLARED_SPANS: sent.spans + 1,
                names.DECLARED_LOG_RECORDS: sent.log_records,
                names.DECLARED_METRIC_POINTS: sent.metric_points,
            },
            error=_error(root),
        )
        self._span(span)

    def _resource(self, root: StoredRun, tags: Mapping[str, str]) -> dict[str, object]:
        return {
            names.SERVICE_NAME: "spanbook",
            names.SERVICE_VERSION: _version(),
            names.PIPELINE_NAME: self.pipeline,
            names.PIPELINE_RUN_ID: self.family.id,
            names.TRIGGER: "manual",
            names.ACTOR: tags.get("mlflow.user") or root.user or None,
            names.REF_REVISION: tags.get("mlflow.source.git.commit") or root.commit or None,
            names.REF_NAME: tags.get("mlflow.source.git.branch"),
            names.REPOSITORY_URL: repository_url(tags.get("mlflow.source.git.repoURL", "")) or None,
        }

    def _task(self, index: int, run: StoredRun, content: Content) -> int:
        """One run of MLflow as a task with one attempt; gives its end."""
        task, attempt = self._span_id("task", run.id), self._span_id("attempt", run.id)
        start, end = _ns(run.start), self._end(run, content)
        attrs = {
            names.SPAN_TYPE: SpanType.TASK,
            names.TASK_NAME: run.experiment,
            names.TASK_RUN_ID: task,
            names.TASK_TYPE: TaskType.PYTHON,
            names.TASK_INDEX: index,
            names.TASK_GROUP: self.family.groups.get(run.id),
            names.TASK_SOURCE: run.source or content.tags.get("mlflow.source.name"),
        }
        tried = {
            names.SPAN_TYPE: SpanType.ATTEMPT,
            names.TASK_RUN_ID: task,
            names.ATTEMPT_NUMBER: 1,
            names.ATTEMPT_QUEUED: start,
        }
        self._log(task, start, Event.TASK_DECLARED, attrs=attrs)
        self._log(attempt, start, Event.ATTEMPT_STARTED, attrs=tried)
        self._content(attempt, start, run, content)
        if self.limits:
            self._files(attempt, end, run, content)
        if run.ended:
            result, error = _RESULTS[run.status], _error(run)
            common: dict[str, Any] = {
                "run_id": self.family.id,
                "start": start,
                "end": end,
                "error": error,
            }
            ended = {names.ATTEMPT_RUNNING: start, names.ATTEMPT_RESULT: result}
            fault = {names.ERROR_TYPE: _error_type(run)}
            name = f"{run.experiment} attempt 1"
            self._span(
                encode.span(
                    **common,
                    span_id=attempt,
                    parent_id=task,
                    name=name,
                    attrs=tried | ended | fault,
                )
            )
            self._span(
                encode.span(
                    **common,
                    span_id=task,
                    parent_id=self._span_id("run"),
                    name=run.experiment,
                    attrs=attrs | {names.TASK_RESULT: result} | fault,
                )
            )
        return end

    def _content(self, span: str, start: int, run: StoredRun, content: Content) -> None:
        for key, text in sorted(content.params.items()):
            self._log(span, start, Event.PARAMETER, parameter(text), {names.KEY: key})
        tags = {**content.tags, "mlflow.run_id": run.id, "mlflow.experiment_id": run.experiment_id}
        if run.name:
            tags["mlflow.runName"] = run.name
        if run.deleted:
            tags["mlflow.lifecycle_stage"] = "deleted"
        for key, text in sorted(tags.items()):
            self._log(span, start, Event.TAG, text, {names.KEY: key})
        for key, points in sorted(content.metrics.items()):
            for part in _parts(points):
                self._metric(span, key, part, stepless=all(p.step == 0 for p in points))

    def _metric(self, span: str, key: str, points: Sequence[Point], *, stepless: bool) -> None:
        attrs = {
            names.KEY: key,
            names.METRIC_VALUES: [point.value for point in points],
            names.METRIC_STEPS: [] if stepless else [point.step for point in points],
            names.METRIC_TIMES: [_ns(point.time) for point in points],
        }
        self._log(span, _ns(points[0].time), Event.METRIC_BATCH, None, attrs)

    def _files(self, span: str, time: int, run: StoredRun, content: Content) -> None:
        assert self.limits
        places = [(run.artifact_uri, "")]
        places += [(model.artifact_uri, f"{model.name}/") for model in content.models]
        taken: set[str] = set()
        for uri, prefix in places:
            folder = locate(uri, self.store.roots) if uri else None
            if folder is None:
                if uri and not _is_local(uri):
                    self.told.elsewhere.append(uri)
                    self._log(span, time, "", f"Its files are at {uri} and were not imported.")
                continue
            for found in walk(folder, prefix):
                if found.path in taken:
                    continue
                taken.add(found.path)
                if found.size > min(self.limits.file, self.left):
                    self.told.too_large += 1
                    over = f"{found.path} ({found.size:,} bytes) is over the limit: left out."
                    self._log(span, time, "", over)
                else:
                    self.left -= found.size
                    self._artifact(span, time, found)

    def _artifact(self, span: str, time: int, found: Found) -> None:
        size = names.ARTIFACT_CHUNK_BYTES
        digest = hashlib.sha256()
        with found.file.open("rb") as stream:
            while part := stream.read(size):
                digest.update(part)
        count = max(1, -(-found.size // size))
        with found.file.open("rb") as stream:
            for index in range(count):
                attrs = {
                    names.ARTIFACT_PATH: found.path,
                    names.ARTIFACT_MEDIA_TYPE: found.media_type,
                    names.ARTIFACT_SIZE: found.size,
                    names.ARTIFACT_SHA256: digest.hexdigest(),
                    names.ARTIFACT_KIND: found.kind,
                    names.ARTIFACT_VERSION: 1,
                    names.CHUNK_INDEX: index,
                    names.CHUNK_COUNT: count,
                }
                self._log(span, time, Event.ARTIFACT, stream.read(size), attrs)
                self._flush()

    def _end(self, run: StoredRun, content: Content) -> int:
        """When a run ended, or the last sign of it."""
        if run.end:
            return _ns(run.end)
        last = max((p.time for points in content.metrics.values() for p in points), default=0)
        return max(_ns(run.start), _ns(last))

    # -- sending ----------------------------------------------------------------------------

    def _log(
        self,
        span: str,
        time: int,
        event: str,
        body: object = None,
        attrs: Mapping[str, object] | None = None,
    ) -> None:
        number = self._numbers[span] = self._numbers.get(span, 0) + 1
        severity = (
            SeverityNumber.SEVERITY_NUMBER_INFO if event else SeverityNumber.SEVERITY_NUMBER_WARN
        )
        record = encode.log_record(
            run_id=self.family.id,
            span_id=span,
            record_id=f"{span}-{number}",
            time=time,
            event=event,
            body=body,
            attrs=attrs if event else {names.LOGGER_NAME: "spanbook.import"},
            severity=severity,
            severity_text="" if event else "WARNING",
        )
        self._records.append(record)
        if len(self._records) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._records:
            request = encode.logs_request(self.owner, self._records)
            self.merge.add(Signal.LOGS, request.SerializeToString())
            self._records = []

    def _span(self, span: Span) -> None:
        request = encode.trace_request(self.owner, [span])
        self.merge.add(Signal.TRACES, request.SerializeToString())


def parameter(text: str) -> bool | int | float | str | None:
    """A parameter as it was before MLflow made text of it, where that can be told for sure."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False}.get(text)
    for kind in (int, float):
        try:
            value = kind(text) if len(text) < 40 else text
        except ValueError:
            continue
        if repr(value) == text and text not in ("nan", "inf", "-inf"):
            return value
    return text


@functools.cache
def _version() -> str:
    return version("spanbook")


def _parts(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    for at in range(0, len(points), _POINTS):
        yield points[at : at + _POINTS]


def _ns(milliseconds: int | None) -> int:
    return min(max(milliseconds or 0, 0) * _MS, 2**63 - 1)


def _error(run: StoredRun) -> str | None:
    if run.status == "FINISHED":
        return None
    return f"The run ended as {run.status}; MLflow's store does not say why."


def _error_type(run: StoredRun) -> str | None:
    return None if run.status == "FINISHED" else run.status


def _is_local(uri: str) -> bool:
    """Whether an address may be a folder that was never made, as of a run that logged no file."""
    return uri.startswith("file:") or "://" not in uri
