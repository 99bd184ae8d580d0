"""What one request's items are: their runs' trace ids, and the keys that duplicates are known by.

This is the inner loop of ingest. Each look at a protobuf item makes Python objects, so that every
item is looked at once.
"""

from array import array
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import names
from spanbook_runfile.journal import Signal
from spanbook_runfile.model import Counts
from spanbook_runfile.names import SpanType

from spanbook_collector.tally import Facts

NO_TRACE = bytes(16)
NO_SPAN = bytes(8)
_NO_ID: frozenset[bytes] = frozenset({NO_SPAN})
_EIGHT = {8}
_POINT_KINDS = frozenset({"gauge", "sum", "histogram", "exponential_histogram", "summary"})
Traces = frozenset[bytes] | set[bytes]


def look(signal: Signal, groups: Iterable[Any]) -> tuple[Traces, bool, Facts]:
    """The trace ids of the items, whether all their other ids are valid, and what they add."""
    if signal is Signal.TRACES:
        return _spans(groups)
    return _records(groups) if signal is Signal.LOGS else _points(groups)


def _spans(groups: Iterable[Any]) -> tuple[Traces, bool, Facts]:
    traces: set[bytes] = set()
    keys = []
    valid = True
    run_span, declared = False, None
    for spans in groups:
        rows = [(s.trace_id, s.span_id, s.kind, s.parent_span_id) for s in spans]
        if not rows:
            continue
        of_traces, ids, kinds, parents = zip(*rows, strict=True)
        traces.update(of_traces)
        keys.append(b"".join(ids))
        valid = valid and set(map(len, ids)) == _EIGHT and _NO_ID.isdisjoint(ids)
        if Span.SPAN_KIND_SERVER in kinds or b"" in parents:  # the run span is one, mostly both
            for span, kind, parent in zip(spans, kinds, parents, strict=True):
                if (kind == Span.SPAN_KIND_SERVER or not parent) and _is_run(span):
                    run_span, declared = True, _declared(span)
    return traces, valid, Facts(b"".join(keys), run_span=run_span, declared=declared)


def _is_run(span: Any) -> bool:
    return any(
        pair.key == names.SPAN_TYPE and pair.value.string_value == SpanType.RUN
        for pair in span.attributes
    )


def _declared(span: Any) -> Counts | None:
    found = {pair.key: pair.value.int_value for pair in span.attributes}
    if names.DECLARED_SPANS not in found:
        return None
    return Counts(
        found[names.DECLARED_SPANS],
        found.get(names.DECLARED_LOG_RECORDS, 0),
        found.get(names.DECLARED_METRIC_POINTS, 0),
    )


def _records(groups: Iterable[Any]) -> tuple[Traces, bool, Facts]:
    traces: set[bytes] = set()
    keys, unkeyed = array("q"), 0
    for records in groups:
        for record in records:
            traces.add(record.trace_id)
            for pair in record.attributes:
                if pair.key == names.RECORD_ID and (text := pair.value.string_value):
                    keys.append(hash(text))
                    break
            else:
                unkeyed += 1
    return traces, True, Facts(keys.tobytes(), unkeyed)


def _points(groups: Iterable[Any]) -> tuple[Traces, bool, Facts]:
    keys = array("q")
    found = False
    for metrics in groups:
        for metric in metrics:
            found = True
            kind = metric.WhichOneof("data")
            if kind not in _POINT_KINDS:
                continue
            for point in getattr(metric, kind).data_points:
                attrs = b"".join([pair.SerializeToString() for pair in point.attributes])
                keys.append(hash((metric.name, point.time_unix_nano, attrs)))
    return frozenset({b""} if found else ()), True, Facts(keys.tobytes())
