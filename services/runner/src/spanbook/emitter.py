"""What one attempt records, encoded where it happens and handed on in batches."""

import itertools
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics
from spanbook_runfile import encode, names
from spanbook_runfile.names import ArtifactKind, Event

from spanbook.chunks import chunks, digest
from spanbook.errors import ValueTooLargeError
from spanbook.masking import Masker
from spanbook.quota import Quota
from spanbook.ticker import ticker

FLUSH_SECONDS: Final = 0.2
BATCH_BYTES: Final = 2 << 20  # half of gRPC's default limit, so that a batch is one request
RECORD_BYTES: Final = 1 << 20  # of one record's body and attributes
SERIES_POINTS: Final = 8192  # a batch record of so many points stays well under 1 MiB
TIMED_POINTS: Final = 1000  # denser batches leave the points' own times out
UNSENT_BYTES: Final = 64 << 20  # kept of what could not be sent, for :meth:`Emitter.close`
RECORDS_AT_ONCE: Final = (2000, 500)  # so many in a burst, then so many a second
POINTS_AT_ONCE: Final = (100, 5)  # few: points that travel together are one record


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded records: a serialized ``ScopeLogs`` and a serialized ``ScopeMetrics``.

    They carry no resource: whoever sends them on adds it. Bytes of several batches joined are the
    bytes of one bigger batch. Either is empty where there is nothing of its kind.
    """

    log_records: bytes = b""
    n_records: int = 0
    metrics: bytes = b""
    n_points: int = 0

    def __bool__(self) -> bool:
        return bool(self.n_records or self.n_points)


def joined(batches: Iterable[Batch]) -> Batch:
    """Several batches as one."""
    found = list(batches)
    return Batch(
        b"".join(b.log_records for b in found),
        sum(b.n_records for b in found),
        b"".join(b.metrics for b in found),
        sum(b.n_points for b in found),
    )


class _Series:
    """The points of one metric key that wait for the next flush."""

    __slots__ = ("integral", "steps", "times", "values")

    def __init__(self) -> None:
        self.values: list[float] = []
        self.steps: list[int | None] = []
        self.times = array("q")


class Emitter:
    """Takes what an attempt records, from any thread, and passes it on in the order it came.

    With ``at_once`` the thread that records also sends, before it goes on: what is recorded survives
    whatever ends the process next. A flood is batched. Without it, and in a flood, records wait at
    most :data:`FLUSH_SECONDS`; what still waits at the end is handed over in :meth:`close`. ``send``
    may block: that is what holds back a task that records faster than the driver takes, so memory
    stays bounded.

    Args:
        run_id: 32 hex digits.
        span_id: the attempt's, 16 hex digits.
        send: takes a batch, on any thread, one at a time.
        masker: whose secrets to leave out; by default those of this process's environment.
        origin: tells record ids apart where two processes emit for one attempt.
        at_once: send each record by itself, as long as they are not too many.
    """

    def __init__(
        self,
        run_id: str,
        span_id: str,
        send: Callable[[Batch], None],
        *,
        masker: Masker | None = None,
        origin: str = "",
        at_once: bool = False,
    ) -> None:
        self.run_id = run_id
        self.span_id = span_id
        self.masker = masker if masker is not None else Masker()
        self._send = send
        self._id_prefix = f"{span_id}.{origin}"
        self._sequence = itertools.count()
        # Both may be taken again by their own thread: in a signal handler that prints, say.
        self._lock = threading.RLock()  # guards what waits
        self._send_lock = threading.RLock()  # keeps batches in order
        self._sending = self._again = False
        self._unsent: list[Batch] = []  # the line to the driver is broken
        self._quota, self._point_quota = Quota(*RECORDS_AT_ONCE), Quota(*POINTS_AT_ONCE)
        if not at_once:
            self._quota.end()
            self._point_quota.end()
        self._records: list[LogRecord] = []
        self._series: dict[str, _Series] = {}
        self._waiting_points = 0
        self._waiting_bytes = 0
        self._samples: list[tuple[int, float | None, int | None]] = []
        self._versions: dict[str, int] = {}
        self._due: float | None = None  # when what waits must go; None: nothing waits
        self._closed = False

    def event(
        self,
        event: str,
        body: object = None,
        attrs: Mapping[str, object] | None = None,
        *,
        at: int | None = None,
        severity: int = SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text: str = "",
        at_once: bool = True,
    ) -> None:
        """Record one event of the attempt; ``at`` is its time in ns, by default now.

        ``at_once`` is False where something that is sent anyway follows.

        Raises:
            ValueTooLargeError: the body and attributes are over :data:`RECORD_BYTES`.
        """
        record = self._encode(
            event, body, attrs, at, severity=severity, severity_text=severity_text
        )
        size = record.ByteSize()
        if size > RECORD_BYTES + 4096:
            raise ValueTooLargeError(
                f"{(attrs or {}).get(names.KEY, event)!r} has {size:,} bytes; a recorded value may "
                f"have {RECORD_BYTES:,}. Log it as a file instead: log.json('name.json', value)."
            )
        self._add(record, size, at_once=at_once)

    def line(
        self,
        stream: str,
        text: str,
        *,
        at: int | None = None,
        severity: int = SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text: str = "",
        logger: str | None = None,
    ) -> None:
        """Record one printed line (``stdout``, ``stderr``) or ``logging`` record (``log``)."""
        attrs = {names.IOSTREAM: None if stream == "log" else stream, names.LOGGER_NAME: logger}
        record = self._encode("", text, attrs, at, severity=severity, severity_text=severity_text)
        self._add(record, len(text) + 200)

    def metric(
        self, key: str, value: float, step: int | None = None, at: int | None = None
    ) -> None:
        """Record one point of a metric; points of one key that wait together become one record."""
        now = at if at is not None else time.time_ns()
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series()
            series.values.append(value)
            series.steps.append(step)
            series.times.append(now)
            self._waiting_points += 1
            if self._due is None:
                self._wait()
            full = self._waiting_points >= SERIES_POINTS
        if full:
            self.flush()
        elif time.monotonic_ns() >= self._point_quota.free_at and self._point_quota.taken():
            self._flush_now(points=True)

    def artifact(
        self,
        path: str,
        data: bytes | None = None,
        *,
        file: Path | None = None,
        media_type: str,
        kind: ArtifactKind = ArtifactKind.FILE,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """Record a file's bytes, from memory or from a disk, in chunks of 1 MiB.

        Raises:
            OSError: the file cannot be read.
        """
        size, sha256 = digest(data, file)
        count = max(1, -(-size // names.ARTIFACT_CHUNK_BYTES))
        with self._lock:
            version = self._versions[path] = self._versions.get(path, 0) + 1
        attrs = {
            names.ARTIFACT_PATH: path,
            names.ARTIFACT_MEDIA_TYPE: media_type,
            names.ARTIFACT_SIZE: size,
            names.ARTIFACT_SHA256: sha256,
            names.ARTIFACT_KIND: kind.value,
            names.ARTIFACT_META: dict(meta) if meta else None,
            names.ARTIFACT_VERSION: version,
            names.CHUNK_COUNT: count,
        }
        at = time.time_ns()
        for index, chunk in enumerate(chunks(data, file, count)):
            record = self._encode(Event.ARTIFACT, chunk, {**attrs, names.CHUNK_INDEX: index}, at)
            self._add(record, len(chunk) + 600)

    def usage(self, cpu: float | None, memory: int | None, at: int | None = None) -> None:
        """Record a sample of the attempt's CPU (cores) and memory (bytes)."""
        with self._lock:
            self._samples.append((at or time.time_ns(), cpu, memory))
            self._wait()

    def forward(self, batch: Batch) -> None:
        """Pass on a batch that another process of this attempt encoded (a notebook's kernel)."""
        with self._send_lock:
            self.flush()
            self._pass_on(batch)

    def masked(self, text: str) -> str:
        """Text without secrets, for those who cut it before they record it."""
        self.masker.refresh()
        return self.masker.text(text)

    def flush(self) -> None:
        """Send all that waits."""
        with self._send_lock:
            self._flush(points=True)

    def close(self) -> Batch:
        """End the attempt's recording; the batch is what was not yet sent."""
        with self._send_lock:
            self._closed = True
            self._quota.end()
            self._point_quota.end()
            ticker.remove(self._tick)
            return joined([*self._unsent, self._take()]) if self._unsent else self._take()

    def _encode(
        self,
        event: str,
        body: object,
        attrs: Mapping[str, object] | None,
        at: int | None,
        *,
        severity: int = SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text: str = "",
    ) -> LogRecord:
        return encode.log_record(
            run_id=self.run_id,
            span_id=self.span_id,
            record_id=f"{self._id_prefix}{next(self._sequence)}",
            time=at if at is not None else time.time_ns(),
            event=event,
            body=body,
            attrs=attrs,
            severity=severity,
            severity_text=severity_text,
        )

    def _add(self, record: LogRecord, size: int, *, at_once: bool = True) -> None:
        if self._waiting_bytes + size > BATCH_BYTES:
            self.flush()
        with self._lock:
            self._records.append(record)
            self._waiting_bytes += size
            if self._due is None:
                self._wait()
        if at_once and self._quota.taken():
            self._flush_now(points=False)

    def _flush_now(self, *, points: bool) -> None:
        """Send what waits, unless another thread holds the sending up: then it stays in the batch.

        That thread may wait for a lock that this one holds, as when a destructor prints.
        """
        if self._send_lock.acquire(timeout=1.0):
            try:
                self._flush(points=points)
            finally:
                self._send_lock.release()

    def _flush(self, *, points: bool) -> None:
        """Send what waits; the send lock is held."""
        if self._sending:  # a signal handler, or a destructor, that records within a send
            self._again = True
            return
        self._sending = True
        try:
            while batch := self._take(points=points):
                self._again = False
                self._pass_on(batch)
                if not self._again:
                    break
        finally:
            self._sending = False

    def _pass_on(self, batch: Batch) -> None:
        try:
            self._send(batch)
        except OSError:  # the line is broken; the outcome goes another way
            self._unsent.append(batch)
            self._quota.end()
            self._point_quota.end()
            if sum(len(b.log_records) for b in self._unsent) > UNSENT_BYTES:
                raise

    def _wait(self) -> None:
        """Note that something waits; the lock is held."""
        if self._due is None:
            self._due = time.monotonic() + FLUSH_SECONDS
            if not self._closed:
                ticker.add(self._tick)

    def _tick(self) -> None:
        due = self._due
        if due is not None and time.monotonic() >= due:
            self.flush()

    def _take(self, *, points: bool = True) -> Batch:
        """All that waits, with or without the points, encoded and masked; the send lock is held."""
        series: dict[str, _Series] = {}
        samples: list[tuple[int, float | None, int | None]] = []
        with self._lock:
            records, self._records = self._records, []
            self._waiting_bytes = 0
            if points:
                series, self._series = self._series, {}
                samples, self._samples = self._samples, []
                self._waiting_points = 0
            if not (self._series or self._samples):
                self._due = None
        if not (records or series or samples):
            return Batch()
        self.masker.refresh()
        for record in records:
            self.masker.record(record)
        # Points are numbers: only their key is text.
        records += [self._points_record(self.masker.text(k), s) for k, s in series.items()]
        scope = ScopeLogs(log_records=records)
        scope.scope.name = names.SCOPE_NAME
        metrics, n_points = self._usage_metrics(samples)
        return Batch(scope.SerializeToString() if records else b"", len(records), metrics, n_points)

    def _points_record(self, key: str, series: _Series) -> LogRecord:
        values, steps, times = series.values, series.steps, series.times
        if len(values) == 1:
            attrs = {
                names.KEY: key,
                names.METRIC_VALUE: values[0],
                names.METRIC_STEP: steps[0],
            }
            return self._encode(Event.METRIC, None, attrs, times[0])
        has_steps = any(step is not None for step in steps)
        record = self._encode(Event.METRIC_BATCH, None, {names.KEY: key}, times[0])
        record.attributes.add(key=names.METRIC_VALUES, value=encode.number_array(values))
        record.attributes.add(
            key=names.METRIC_STEPS, value=encode.number_array(steps if has_steps else ())
        )
        if len(values) <= TIMED_POINTS:
            record.attributes.add(key=names.METRIC_TIMES, value=encode.number_array(times))
        return record

    def _usage_metrics(
        self, samples: list[tuple[int, float | None, int | None]]
    ) -> tuple[bytes, int]:
        if not samples:
            return b"", 0
        owner = {names.ATTEMPT_ID: self.span_id}
        gauges: list[Metric] = []
        for name, unit, index in (
            (names.CPU_UTILIZATION, "{cpu}", 1),
            (names.MEMORY_USAGE, "By", 2),
        ):
            points = [(s[0], float(v), owner) for s in samples if (v := s[index]) is not None]
            if points:
                gauges.append(encode.gauge(name, unit, points))
        scope = ScopeMetrics(metrics=gauges)
        scope.scope.name = names.SCOPE_NAME
        return scope.SerializeToString(), sum(len(g.gauge.data_points) for g in gauges)
