"""Which run each part of a request belongs to.

A span or log record goes by its trace id. Metrics, and log records without a trace id, go by their
resource: its ``cicd.pipeline.run.id`` where that is a trace id, else its service instance. The wire
bytes of a request that is all of one run are kept as they came.
"""

import hashlib
from collections.abc import Callable, Iterator
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
from spanbook_runfile.paths import RUN_ID

from spanbook_collector.columns import of_one_trace
from spanbook_collector.errors import Invalid
from spanbook_collector.facts import NO_SPAN, NO_TRACE, Traces, look
from spanbook_collector.tally import Facts
from spanbook_collector.wire import count_fields

MAX_GROUPS = 50_000  # resources and scopes in one request: two bytes of wire can make one
_MAX_FIELDS = 4 * MAX_GROUPS  # with those for their attributes and schema URLs


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
    if signal is Signal.TRACES and (found := _of_one_trace(payload)):
        return found
    request = _parse(shape, payload)
    groups = list(_groups(shape, request))
    traces, valid, facts = look(signal, (items for _, items in groups))
    if not traces:
        return Routed(())
    if valid and (owner := _only_owner(signal, traces, groups)):
        return Routed((Piece(owner, signal, payload, facts),))
    return _split(signal, shape, request)


def _of_one_trace(payload: bytes) -> Routed | None:
    """The short way, that most requests with many spans can go."""
    try:
        found = of_one_trace(payload)
    except DecodeError:
        return None  # the long way tells what is wrong, by OTLP's own names
    if found is None:
        return None
    trace, facts = found
    return Routed((Piece(Owner(trace.hex()), Signal.TRACES, payload, facts),))


def _only_owner(signal: Signal, traces: Traces, groups: list[tuple[Any, Any]]) -> Owner | None:
    """Whose all items are; None where they must be told apart, or one has an invalid trace id."""
    owners = {Owner(trace.hex()) for trace in traces if _is_trace(trace)}
    if len(owners) + (b"" in traces) < len(traces):
        return None
    if b"" in traces:
        if signal is Signal.TRACES:
            return None
        owners |= {resource_owner(group.resource) for group, items in groups if items}
    return owners.pop() if len(owners) == 1 else None


def _is_trace(trace: bytes) -> bool:
    return len(trace) == 16 and trace != NO_TRACE


def facts_of(signal: Signal, payload: bytes) -> Facts:
    """What a payload that was routed before adds to its run.

    Raises:
        Invalid: it is no export request of that signal.
    """
    shape = _SHAPES[signal]
    request = _parse(shape, payload)
    return look(signal, (items for _, items in _groups(shape, request)))[2]


def _parse(shape: _Shape, payload: bytes) -> Any:
    if count_fields(payload, _MAX_FIELDS) == _MAX_FIELDS:
        raise _too_many()
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
            raise _too_many()
        for scope in scopes:
            yield owner, getattr(scope, shape.items)


def _too_many() -> Invalid:
    return Invalid(
        f"The request has over {MAX_GROUPS:,} resources and scopes. Send items of one resource and "
        "scope together, and fewer at once."
    )


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
            part.SerializeToString(),
            look(signal, (items for _, items in _groups(shape, part)))[2],
        )
        for owner, part in parts.items()
    )
    return Routed(pieces, rejected)


def _owner_of(signal: Signal, item: Any, fallback: Callable[[], Owner]) -> Owner | None:
    if signal is Signal.METRICS:
        return fallback()
    trace = item.trace_id
    if _is_trace(trace):
        if signal is Signal.TRACES and (len(item.span_id) != 8 or item.span_id == NO_SPAN):
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
