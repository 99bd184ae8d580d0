"""Export requests in, one run file out: merged, without duplicates, in a fixed order."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanbook_runfile import names, otlpjson
from spanbook_runfile.journal import Signal, read_frames
from spanbook_runfile.model import Counts
from spanbook_runfile.names import SealReason

Object = dict[str, Any]


class Merge:
    """The content of one run, gathered frame by frame.

    Spans dedupe by span id, log records by :data:`names.RECORD_ID`, metric points by name,
    attributes and time; of duplicates the first stays. Records that are not of ``run_id`` are
    left out, and counted as strays.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.duplicates = 0
        self.strays = 0
        self.declared: Counts | None = None
        self._seen: set[object] = set()
        self._counts = dict.fromkeys(Signal, 0)
        self._groups: dict[
            Signal, dict[bytes, tuple[Object, dict[bytes, tuple[Object, list[Object]]]]]
        ]
        self._groups = {signal: {} for signal in Signal}

    @classmethod
    def of_journal(cls, path: Path, run_id: str) -> "Merge":
        """The merge of a journal's whole frames."""
        merge = cls(run_id)
        with path.open("rb") as stream:
            for signal, payload, _ in read_frames(stream):
                merge.add(signal, payload)
        return merge

    def add(self, signal: Signal, payload: bytes) -> None:
        """Add one serialized export request.

        Raises:
            google.protobuf.message.DecodeError: the payload is no such request.
        """
        if signal is Signal.TRACES:
            for rs in ExportTraceServiceRequest.FromString(payload).resource_spans:
                for ss in rs.scope_spans:
                    self._keep(signal, rs, ss, self._spans(ss.spans))
        elif signal is Signal.LOGS:
            for rl in ExportLogsServiceRequest.FromString(payload).resource_logs:
                for sl in rl.scope_logs:
                    self._keep(signal, rl, sl, self._records(sl.log_records))
        else:
            for rm in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
                for sm in rm.scope_metrics:
                    self._keep(signal, rm, sm, self._metrics(sm.metrics))

    @property
    def received(self) -> Counts:
        """How much is here, duplicates not counted."""
        return Counts(
            self._counts[Signal.TRACES], self._counts[Signal.LOGS], self._counts[Signal.METRICS]
        )

    def _new(self, key: object) -> bool:
        if key in self._seen:
            self.duplicates += 1
            return False
        self._seen.add(key)
        return True

    def _spans(self, spans: Iterable[Any]) -> Iterator[Object]:
        for span in spans:
            if span.trace_id.hex() != self.run_id:
                self.strays += 1
            elif self._new(span.span_id):
                self._counts[Signal.TRACES] += 1
                self._note_declared(span)
                yield otlpjson.span(span)

    def _note_declared(self, span: Any) -> None:
        found = {
            pair.key: pair.value.int_value
            for pair in span.attributes
            if pair.key.startswith("spanbook.declared.")
        }
        if names.DECLARED_SPANS in found:
            self.declared = Counts(
                found[names.DECLARED_SPANS],
                found.get(names.DECLARED_LOG_RECORDS, 0),
                found.get(names.DECLARED_METRIC_POINTS, 0),
            )

    def _records(self, records: Iterable[Any]) -> Iterator[Object]:
        for record in records:
            if record.trace_id and record.trace_id.hex() != self.run_id:
                self.strays += 1
                continue
            record_id = next(
                (p.value.string_value for p in record.attributes if p.key == names.RECORD_ID), ""
            )
            if record_id and not self._new(record_id):
                continue
            self._counts[Signal.LOGS] += 1
            yield otlpjson.log_record(record)

    def _metrics(self, metrics: Iterable[Any]) -> Iterator[Object]:
        for metric in metrics:
            out = otlpjson.metric(metric)
            for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
                if kind not in out:
                    continue
                points = [
                    point
                    for point in out[kind].get("dataPoints", ())
                    if self._new(
                        orjson.dumps(
                            (
                                metric.name,
                                point.get("timeUnixNano"),
                                point.get("attributes"),
                            )
                        )
                    )
                ]
                self._counts[Signal.METRICS] += len(points)
                out[kind]["dataPoints"] = points
                if points:
                    yield out

    def _keep(self, signal: Signal, owner: Any, group: Any, items: Iterator[Object]) -> None:
        for item in items:
            resource_key = owner.resource.SerializeToString(deterministic=True)
            scope_key = group.scope.SerializeToString(deterministic=True)
            if resource_key not in self._groups[signal]:
                self._groups[signal][resource_key] = (otlpjson.resource(owner.resource), {})
            scopes = self._groups[signal][resource_key][1]
            if scope_key not in scopes:
                scopes[scope_key] = (otlpjson.scope(group.scope), [])
            scopes[scope_key][1].append(item)
            scopes[scope_key][1].extend(items)

    def _section(
        self, signal: Signal, group: str, items: str, order: Callable[[Object], Any]
    ) -> list[Object]:
        out = []
        for _, (resource, scopes) in sorted(self._groups[signal].items()):
            scope_list = [
                {"scope": scope, items: sorted(content, key=order)}
                for _, (scope, content) in sorted(scopes.items())
            ]
            out.append({"resource": resource, group: scope_list})
        return out

    def sections(self) -> Object:
        """The three OTLP sections, as one object, in their fixed order."""
        return {
            "resourceSpans": self._section(
                Signal.TRACES,
                "scopeSpans",
                "spans",
                lambda s: (int(s["startTimeUnixNano"]), s["spanId"]),
            ),
            "resourceLogs": self._section(
                Signal.LOGS,
                "scopeLogs",
                "logRecords",
                lambda r: int(r["timeUnixNano"]),
            ),
            "resourceMetrics": self._section(
                Signal.METRICS, "scopeMetrics", "metrics", lambda m: m["name"]
            ),
        }

    def seal(self, reason: SealReason, now: datetime | None = None) -> bytes:
        """The run file's bytes; ``digest`` covers all that stands before the ``spanbook`` member."""
        body = orjson.dumps(self.sections())[:-1]
        note = {
            "format": names.FORMAT_VERSION,
            "runId": self.run_id,
            "sealedAt": (now or datetime.now(UTC)).isoformat(timespec="milliseconds"),
            "reason": reason,
            "received": counts_json(self.received),
            "declared": self.declared and counts_json(self.declared),
            "complete": self.declared == self.received,
            "duplicates": self.duplicates,
            "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
        }
        return body + b',"spanbook":' + orjson.dumps(note) + b"}\n"


def counts_json(counts: Counts) -> Object:
    """Counts as the ``spanbook`` member has them."""
    return {
        "spans": counts.spans,
        "logRecords": counts.log_records,
        "metricPoints": counts.metric_points,
    }


def write_run_file(folder: Path, run_id: str, content: bytes) -> Path:
    """Write a run file aside, fsync it, make it read-only and rename it into place.

    Raises:
        OSError: the disk refused; nothing bears the run file's name then.
    """
    target = folder / f"{run_id}.json"
    aside = folder / f".{run_id}.{os.getpid()}.tmp"
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        aside.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(folder)
    return target


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in a folder durable (fsync of the folder)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
