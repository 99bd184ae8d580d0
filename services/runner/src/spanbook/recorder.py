"""The recorder: every span, record and point of a run, counted and put on the spool."""

import itertools
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.names import Event, SpanType

from spanbook.emitter import Batch
from spanbook.ids import new_span_id
from spanbook.masking import Masker
from spanbook.spool import Spool
from spanbook.ticker import ticker

_REQUEST_BYTES = 1 << 20  # a request is sent once it has so many; gRPC's default limit is 4 MiB
_LARGEST_BATCH = 3 << 20
_FLUSH_SECONDS = 0.2


class Recorder:
    """Gathers what the driver and the workers record, and turns it into export requests.

    Safe to use from any thread. The resource goes with every request, in front of the encoded
    records: no record is decoded here.
    """

    def __init__(
        self,
        run_id: str,
        pipeline: str,
        resource: Mapping[str, object],
        spool: Spool,
        masker: Masker,
    ) -> None:
        self.run_id = run_id
        self.pipeline = pipeline
        self.root_id = new_span_id()
        self.masker = masker
        self.spool = spool
        self.spans = self.records = self.points = 0
        owner = encode.resource(_masked(masker, resource)).SerializeToString()
        self._owner = _field(1, owner)
        self._waiting: dict[Signal, list[bytes]] = {signal: [] for signal in Signal}
        self._size = dict.fromkeys(Signal, 0)
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._since = 0.0
        ticker.add(self._tick)

    def add(self, batch: Batch) -> None:
        """Add what an attempt recorded."""
        with self._lock:
            self.records += batch.n_records
            self.points += batch.n_points
            for piece in _pieces(batch.log_records):
                self._put(Signal.LOGS, piece)
            if batch.metrics:
                self._put(Signal.METRICS, batch.metrics)

    def span(
        self,
        *,
        span_id: str,
        parent_id: str,
        name: str,
        start: int,
        end: int,
        attrs: Mapping[str, object],
        links: Sequence[tuple[str, Mapping[str, object]]] = (),
        error: str | None = None,
        kind: Span.SpanKind.ValueType = Span.SPAN_KIND_INTERNAL,
    ) -> None:
        """Add a span; times in ns."""
        message = encode.span(
            run_id=self.run_id,
            span_id=span_id,
            parent_id=parent_id,
            name=name,
            start=start,
            end=end,
            kind=kind,
            attrs=attrs,
            links=links,
            error=None if error is None else self.masker.text(error)[:4096],
        )
        with self._lock:
            self.spans += 1
            self._put(Signal.TRACES, _field(2, message.SerializeToString()))

    def event(
        self,
        span_id: str,
        event: str,
        body: object = None,
        attrs: Mapping[str, object] | None = None,
        *,
        at: int = 0,
        severity: int = 9,
    ) -> None:
        """Add a log record of a span."""
        record = encode.log_record(
            run_id=self.run_id,
            span_id=span_id,
            record_id=f"{self.root_id}{next(self._ids)}",
            time=at or time.time_ns(),
            event=event,
            body=body,
            attrs=attrs,
            severity=severity,
        )
        self.masker.record(record)
        self._add_records([record])

    def _add_records(self, records: Iterable[LogRecord]) -> None:
        encoded = [_field(2, record.SerializeToString()) for record in records]
        with self._lock:
            self.records += len(encoded)
            self._put(Signal.LOGS, b"".join(encoded))

    def start(self, at: int, parameters: Mapping[str, object]) -> None:
        """Record that the run began, at ``at`` (ns), with these parameters."""
        self.event(
            self.root_id, Event.RUN_STARTED, self.pipeline, {names.SPAN_TYPE: SpanType.RUN}, at=at
        )
        for key, value in parameters.items():
            self.event(self.root_id, Event.PARAMETER, value, {names.KEY: key}, at=at)
        self.flush()

    def end(self, *, start: int, end: int, attrs: Mapping[str, object], error: str | None) -> None:
        """Record the run span, with the number of all there is; nothing may be added after it."""
        self.flush()
        declared = {
            names.DECLARED_SPANS: self.spans + 1,
            names.DECLARED_LOG_RECORDS: self.records,
            names.DECLARED_METRIC_POINTS: self.points,
        }
        self.span(
            span_id=self.root_id,
            parent_id="",
            name=f"RUN {self.pipeline}",
            start=start,
            end=end,
            kind=Span.SPAN_KIND_SERVER,
            attrs={
                names.SPAN_TYPE: SpanType.RUN,
                names.PIPELINE_NAME: self.pipeline,
                names.ACTION_NAME: "RUN",
                **attrs,
                **declared,
            },
            error=error,
        )
        self.flush()
        ticker.remove(self._tick)

    def flush(self) -> None:
        """Put all that waits on the spool."""
        with self._lock:
            for signal in (Signal.LOGS, Signal.METRICS, Signal.TRACES):
                self._write(signal)

    def _tick(self) -> None:
        if self._since and time.monotonic() - self._since > _FLUSH_SECONDS:
            self.flush()

    def _put(self, signal: Signal, content: bytes) -> None:
        """Add the bytes of a scope's content; the lock is held."""
        if not content:
            return
        if self._size[signal] and self._size[signal] + len(content) > _REQUEST_BYTES:
            self._write(signal)
        self._waiting[signal].append(content)
        self._size[signal] += len(content)
        self._since = self._since or time.monotonic()

    def _write(self, signal: Signal) -> None:
        waiting = self._waiting[signal]
        if waiting:
            scope = _field(2, _SCOPE + b"".join(waiting))
            self.spool.append(signal, _field(1, self._owner + scope))
            waiting.clear()
            self._size[signal] = 0
        self._since = 0.0


def _masked(masker: Masker, pairs: Mapping[str, object]) -> dict[str, object]:
    return {k: masker.text(v) if isinstance(v, str) else v for k, v in pairs.items()}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    """``content`` as the length-delimited field ``number`` of a protobuf message."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


# ``scope`` is field 1 of ScopeSpans, ScopeLogs and ScopeMetrics alike; their items are field 2.
_SCOPE = _field(1, _field(1, names.SCOPE_NAME.encode()))


def _pieces(scope_logs: bytes) -> Iterable[bytes]:
    """``scope_logs`` in pieces that fit into a request: one, but for an outsized batch."""
    if len(scope_logs) <= _LARGEST_BATCH:
        yield scope_logs
        return
    piece: list[bytes] = []
    size = 0
    for record in ScopeLogs.FromString(scope_logs).log_records:
        encoded = _field(2, record.SerializeToString())
        if piece and size + len(encoded) > _LARGEST_BATCH:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(encoded)
        size += len(encoded)
    yield b"".join(piece)
