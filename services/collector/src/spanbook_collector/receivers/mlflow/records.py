"""What MLflow's client logs, as the same log records that the runner makes."""

import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.media import media_type_of
from spanbook_runfile.names import ArtifactKind, Event

from spanbook_collector.receivers.mlflow.book import OURS
from spanbook_collector.receivers.mlflow.fields import Point

MS = 1_000_000  # nanoseconds
CHUNKS = 4  # of an artifact in one request: 4 MiB


@dataclass(frozen=True, slots=True)
class Place:
    """Whose records these are: a run, and a span of it."""

    run: str
    span: str

    def record(
        self,
        event: str,
        body: object = None,
        attrs: Mapping[str, object] | None = None,
        *,
        at: int = 0,
        identity: str = "",
    ) -> LogRecord:
        """One record; of those of one ``identity`` the first counts."""
        return encode.log_record(
            run_id=self.run,
            span_id=self.span,
            record_id=OURS + (identity or secrets.token_hex(12)),
            time=at or time.time_ns(),
            event=event,
            body=body,
            attrs=attrs,
        )

    def parameter(self, key: str, value: str) -> LogRecord:
        """A parameter."""
        return self.record(Event.PARAMETER, value, {names.KEY: key})

    def tag(self, key: str, value: str | None) -> LogRecord:
        """A tag; None takes it away."""
        return self.record(Event.TAG, value, {names.KEY: key})

    def child(self, **told: object) -> LogRecord:
        """What is known of a run within an attempt: its ``parent``, ``name``, ``status`` and so on."""
        return self.record(Event.CHILD, None, {_CHILD[key]: value for key, value in told.items()})

    def metrics(self, points: Sequence[Point]) -> Iterator[LogRecord]:
        """Points: those of one key that came together are one record."""
        by_key: dict[str, list[Point]] = {}
        for point in points:
            if point.model:
                yield self._point(point)
            else:
                by_key.setdefault(point.key, []).append(point)
        for key, some in by_key.items():
            if len(some) == 1:
                yield self._point(some[0])
                continue
            attrs = {
                names.KEY: key,
                names.METRIC_VALUES: [p.value for p in some],
                names.METRIC_STEPS: [p.step for p in some],
                names.METRIC_TIMES: [p.time * MS for p in some],
            }
            yield self.record(
                Event.METRIC_BATCH, None, attrs, at=some[0].time * MS, identity=self._of(some)
            )

    def _point(self, point: Point) -> LogRecord:
        attrs = {
            names.KEY: point.key,
            names.METRIC_VALUE: point.value,
            names.METRIC_STEP: point.step,
            names.METRIC_MODEL: point.model or None,
            names.METRIC_DATASET: point.dataset or None,
            names.METRIC_DATASET_DIGEST: point.digest or None,
        }
        at = point.time * MS
        return self.record(Event.METRIC, None, attrs, at=at, identity=self._of([point]))

    def _of(self, points: Sequence[Point]) -> str:
        """The same points are the same record: a client that tries again adds nothing."""
        return hashlib.sha256(repr((self.span, points)).encode("utf-8", "replace")).hexdigest()[:24]

    def artifact(self, path: str, data: bytes, version: int) -> Iterator[list[LogRecord]]:
        """A file, some chunks at a time."""
        size = names.ARTIFACT_CHUNK_BYTES
        count = max(1, -(-len(data) // size))
        media_type = media_type_of(path)
        attrs = {
            names.ARTIFACT_PATH: path,
            names.ARTIFACT_MEDIA_TYPE: media_type,
            names.ARTIFACT_SIZE: len(data),
            names.ARTIFACT_SHA256: hashlib.sha256(data).hexdigest(),
            names.ARTIFACT_KIND: _kind(path, media_type).value,
            names.ARTIFACT_VERSION: version,
            names.CHUNK_COUNT: count,
        }
        at = time.time_ns()
        for first in range(0, count, CHUNKS):
            yield [
                self.record(
                    Event.ARTIFACT,
                    data[index * size : (index + 1) * size],
                    {**attrs, names.CHUNK_INDEX: index},
                    at=at,
                )
                for index in range(first, min(first + CHUNKS, count))
            ]


_CHILD = {
    "parent": names.CHILD_PARENT,
    "name": names.CHILD_NAME,
    "experiment": names.CHILD_EXPERIMENT,
    "status": names.CHILD_STATUS,
    "lifecycle": names.CHILD_LIFECYCLE,
    "start": names.CHILD_START,
    "end": names.CHILD_END,
    "user": names.CHILD_USER,
}


def _kind(path: str, media_type: str) -> ArtifactKind:
    """What a file is for: as ``log.figure`` and ``log.table`` say it, told by its type."""
    if media_type.startswith("image/"):
        return ArtifactKind.FIGURE
    if media_type in ("text/csv", "application/vnd.apache.parquet"):
        return ArtifactKind.TABLE
    return ArtifactKind.MODEL if path.endswith(".onnx") else ArtifactKind.FILE


def logs(owner: Resource, records: Iterable[LogRecord], *, beside: bool) -> bytes:
    """An export request; ``beside``: not of what the run declares."""
    request = encode.logs_request(owner, records)
    return _payload(request, request.resource_logs[0].scope_logs[0].scope, beside=beside)


def traces(owner: Resource, spans: Iterable[Span], *, beside: bool) -> bytes:
    """An export request of spans."""
    request = encode.trace_request(owner, spans)
    return _payload(request, request.resource_spans[0].scope_spans[0].scope, beside=beside)


def _payload(request: Message, scope: InstrumentationScope, *, beside: bool) -> bytes:
    if beside:
        scope.name = names.BESIDE_SCOPE
    payload: bytes = request.SerializeToString()
    return payload
