"""Which run each part of a request belongs to.

A span or log record goes by its trace id. Metrics, and log records without a trace id, go by their
resource: its ``cicd.pipeline.run.id`` where that is a trace id, else its service instance. The wire
bytes of a request that is all of one run are kept as they came.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from spanbook_runfile import names
from spanbook_runfile.journal import Signal
from spanbook_runfile.model import Counts
from spanbook_runfile.names import SpanType
from spanbook_runfile.paths import RUN_ID

from spanbook_collector.errors import Invalid
from spanbook_collector.tally import Facts

MAX_GROUPS = 50_000  # resources and scopes in one request: two bytes of wire can make one
_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)
_SPAN_TYPE = names.SPAN_TYPE.encode()
_RUN_VALUE = b"\x03" + SpanType.RUN.encode()  # as a length-prefixed string on the wire
_RECORD_ID = names.RECORD_ID.encode()
_POINT_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a part belongs to: a run id, or a service instance, whose runs are numbered later."""

    id: str
    instance: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of one request that is of one owner, serialized, and what it adds."""

    owner: Owner
    signal: Signal
    payload: bytes
    facts: Facts


@dataclass(frozen=True, slots=True)
class Routed:
    """The pieces of one request, and how many items were no good."""

    pieces: tuple[Piece, ...]
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a signal's request keeps its resources, scopes and items."""

    request: Any
    resources: str
    scopes: str
    items: str


_SHAPES = {
    Signal.TRACES: _Shape(ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    Signal.LOGS: _Shape(ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: _Shape(
        ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"
    ),
}


def route(signal: Signal, payload: bytes) -> Routed:
    """Parse a serialized export request and tell its runs apart.

    Raises:
        Invalid: it is no such request.
    """
    shape = _SHAPES[signal]
    request = _parse(shape, payload)
    groups = list(_groups(shape, request))
    owners: set[Owner | None] = set()
    clean = True
    for owner, items in groups:
        found, all_plain = _owners(signal, items, owner.resource)
        owners |= found
        clean = clean and all_plain
    if not owners:
        return Routed(())
    if clean and len(owners) == 1:
        (only,) = owners
        if only is not None:
            facts = _facts(signal, [items for _, items in groups], payload)
            return Routed((Piece(only, signal, payload, facts),))
    return _split(signal, shape, request)


def request_class(signal: Signal) -> Any:
    """The protobuf class of a signal's export request."""
    return _SHAPES[signal].request


def facts_of(signal: Signal, payload: bytes) -> Facts:
    """What a payload that was routed before adds to its run.

    Raises:
        Invalid: it is no export request of that signal.
    """
    shape = _SHAPES[signal]
    request = _parse(shape, payload)
    return _facts(signal, [items for _, items in _groups(shape, request)], payload)


def _parse(shape: _Shape, payload: bytes) -> Any:
    try:
        return shape.request.FromString(payload)
    except DecodeError as error:
        raise Invalid(
            f"The body is no {shape.request.DESCRIPTOR.name}: {error}. Send OTLP protobuf, or "
            "OTLP JSON over HTTP with content type application/json."
        ) from error


def _groups(shape: _Shape, request: Any) -> Iterator[tuple[Any, Any]]:
    resources = getattr(request, shape.resources)
    count = len(resources)
    for owner in resources:
        scopes = getattr(owner, shape.scopes)
        count += len(scopes)
        if count > MAX_GROUPS:
            raise Invalid(
                f"The request has over {MAX_GROUPS:,} resources and scopes. Send spans of one "
                "resource and scope together, and fewer at once."
            )
        for scope in scopes:
            yield owner, getattr(scope, shape.items)


def _owners(signal: Signal, items: Any, resource: Resource) -> tuple[set[Owner | None], bool]:
    """Whose the items are (None: an invalid item), and whether all can stay as they are."""
    if not items:
        return set(), True
    if signal is Signal.METRICS:
        return {resource_owner(resource)}, True
    traces = {item.trace_id for item in items}
    found: set[Owner | None] = set()
    clean = True
    for trace in traces:
        if len(trace) == 16 and trace != _NO_TRACE:
            found.add(Owner(trace.hex()))
        elif signal is Signal.LOGS:
            clean = clean and not trace
            found.add(resource_owner(resource))
        else:
            found.add(None)
    if signal is Signal.TRACES:
        ids = {item.span_id for item in items}
        if _NO_SPAN in ids or any(len(i) != 8 for i in ids):
            found.add(None)
    return found, clean


def resource_owner(resource: Resource) -> Owner:
    """Who data without a trace id belongs to."""
    found = {pair.key: pair.value.string_value for pair in resource.attributes}
    run_id = found.get(names.PIPELINE_RUN_ID, "")
    if RUN_ID.fullmatch(run_id) and int(run_id, 16):
        return Owner(run_id)
    parts = ("service.namespace", names.SERVICE_NAME, names.SERVICE_INSTANCE_ID, names.HOST_NAME)
    key = "\0".join(found.get(part, "") for part in parts)
    return Owner(hashlib.sha256(key.encode()).hexdigest()[:32], instance=True)


def instance_run_id(owner: Owner, number: int) -> str:
    """The id of a service instance's run: the first has the instance's own, later ones differ."""
    if number == 0:
        return owner.id
    return hashlib.sha256(f"{owner.id} {number}".encode()).hexdigest()[:32]


def _split(signal: Signal, shape: _Shape, request: Any) -> Routed:
    """One request for each owner; items without valid ids are left out and counted."""
    parts: dict[Owner, Any] = {}
    rejected = 0
    for group in getattr(request, shape.resources):
        by_default: list[Owner] = []

        def fallback(group: Any = group, made: list[Owner] = by_default) -> Owner:
            made or made.append(resource_owner(group.resource))  # type: ignore[func-returns-value]
            return made[0]

        for scope in getattr(group, shape.scopes):
            targets: dict[Owner, Any] = {}
            for item in getattr(scope, shape.items):
                owner = _owner_of(signal, item, fallback)
                if owner is None:
                    rejected += 1
                    continue
                if owner not in targets:
                    part = parts.setdefault(owner, shape.request())
                    targets[owner] = _same_place(shape, part, group, scope)
                targets[owner].append(item)
    pieces = tuple(
        Piece(
            owner,
            signal,
            payload := part.SerializeToString(),
            _facts(signal, [items for _, items in _groups(shape, part)], payload),
        )
        for owner, part in parts.items()
    )
    return Routed(pieces, rejected)


def _owner_of(signal: Signal, item: Any, fallback: Callable[[], Owner]) -> Owner | None:
    if signal is Signal.METRICS:
        return fallback()
    trace = item.trace_id
    if len(trace) == 16 and trace != _NO_TRACE:
        if signal is Signal.TRACES and (len(item.span_id) != 8 or item.span_id == _NO_SPAN):
            return None
        return Owner(trace.hex())
    if signal is Signal.TRACES:
        return None
    item.ClearField("trace_id")  # the spec: a record with an invalid trace id has none
    return fallback()


def _same_place(shape: _Shape, part: Any, group: Any, scope: Any) -> Any:
    """A new list of items in ``part``, under the same resource and scope."""
    resources = getattr(part, shape.resources)
    if not resources or resources[-1].resource != group.resource:
        resources.add(resource=group.resource, schema_url=group.schema_url)
    scopes = getattr(resources[-1], shape.scopes)
    return getattr(scopes.add(scope=scope.scope, schema_url=scope.schema_url), shape.items)


def _facts(signal: Signal, groups: Iterable[Any], payload: bytes) -> Facts:
    if signal is Signal.TRACES:
        return _span_facts(groups, payload)
    if signal is Signal.LOGS:
        return _record_facts(groups, payload)
    return _point_facts(groups)


def _span_facts(groups: Iterable[Any], payload: bytes) -> Facts:
    keys = b""
    run_span, declared = False, None
    look = _RUN_VALUE in payload and _SPAN_TYPE in payload
    for spans in groups:
        keys += b"".join([span.span_id for span in spans])
        if not look:
            continue
        for span in spans:
            for pair in span.attributes:
                if pair.key == names.SPAN_TYPE and pair.value.string_value == SpanType.RUN:
                    run_span, declared = True, _declared(span)
    return Facts(keys, run_span=run_span, declared=declared)


def _declared(span: Any) -> Counts | None:
    found = {pair.key: pair.value.int_value for pair in span.attributes}
    if names.DECLARED_SPANS not in found:
        return None
    return Counts(
        found[names.DECLARED_SPANS],
        found.get(names.DECLARED_LOG_RECORDS, 0),
        found.get(names.DECLARED_METRIC_POINTS, 0),
    )


def _record_facts(groups: Iterable[Any], payload: bytes) -> Facts:
    if _RECORD_ID not in payload:
        return Facts(unkeyed=sum(map(len, groups)))
    keys, unkeyed = array("q"), 0
    for records in groups:
        for record in records:
            for pair in record.attributes:
                if pair.key == names.RECORD_ID and pair.value.string_value:
                    keys.append(hash(pair.value.string_value))
                    break
            else:
                unkeyed += 1
    return Facts(keys.tobytes(), unkeyed)


def _point_facts(groups: Iterable[Any]) -> Facts:
    keys = array("q")
    for metrics in groups:
        for metric in metrics:
            kind = metric.WhichOneof("data")
            if kind not in _POINT_KINDS:
                continue
            for point in getattr(metric, kind).data_points:
                attrs = b"".join([p.SerializeToString() for p in point.attributes])
                keys.append(hash((metric.name, point.time_unix_nano, attrs)))
    return Facts(keys.tobytes())
