"""The spans of a request as columns of ids, without a Python object for each span.

Protobuf's parser merges what comes repeatedly where one is declared, and gathers what is declared
as repeated. So with ``spans`` declared as one and the ids in it as repeated, one parse checks all
of a request, as OTLP's own classes do, and gives its ids as lists. An object for each span took
as long as that parse.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from spanbook_runfile import names

from spanbook_collector.facts import NO_SPAN, NO_TRACE
from spanbook_collector.tally import Facts

_COLUMNS = {"trace_id", "span_id", "parent_span_id", "kind"}
_EIGHT = {8}
_SERVER = trace_pb2.Span.SPAN_KIND_SERVER
_SPAN_TYPE = names.SPAN_TYPE.encode()
_MOST_GROUPS = 64  # more are looked at one by one


def _columnar() -> Any:
    """OTLP's trace request, with one span a scope that gathers the ids of all."""
    pool = DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            for field in message.field:
                if message.name == "Span" and field.name in _COLUMNS:
                    field.label = FieldDescriptorProto.LABEL_REPEATED
                elif message.name == "ScopeSpans" and field.name == "spans":
                    field.label = FieldDescriptorProto.LABEL_OPTIONAL
        pool.AddSerializedFile(file.SerializeToString())
    name = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _counting() -> Any:
    """A trace request that is parsed only as deep as to tell how many spans there are."""
    file = FileDescriptorProto(name="spanbook/count.proto", package="spanbook", syntax="proto3")
    parts = (
        ("Scope", 2, "spans", ""),
        ("Owner", 2, "scopes", "Scope"),
        ("All", 1, "owners", "Owner"),
    )
    for name, number, field, inner in parts:
        entry = file.message_type.add(name=name).field.add(name=field, number=number)
        entry.label = FieldDescriptorProto.LABEL_REPEATED
        entry.type = FieldDescriptorProto.TYPE_BYTES
        if inner:
            entry.type = FieldDescriptorProto.TYPE_MESSAGE
            entry.type_name = f".spanbook.{inner}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("spanbook.All"))


_Columnar, _Counting = _columnar(), _counting()


def of_one_trace(payload: bytes) -> tuple[bytes, Facts] | None:
    """The trace id and facts of a request that is all of one trace and has no run span in it.

    None where that is not so, or cannot be told without a look at each span.

    Raises:
        google.protobuf.message.DecodeError: the payload is no trace request.
    """
    owners = _Columnar.FromString(payload).resource_spans
    if len(owners) > _MOST_GROUPS or any(len(o.scope_spans) > _MOST_GROUPS for o in owners):
        return None
    spans = [group.spans for owner in owners for group in owner.scope_spans]
    traces = {trace for column in spans for trace in column.trace_id}
    if len(traces) != 1:
        return None
    (trace,) = traces
    ids = [span_id for column in spans for span_id in column.span_id]
    counted = {len(ids), _count(payload), sum(len(column.trace_id) for column in spans)}
    valid = len(trace) == 16 and set(map(len, ids)) == _EIGHT and NO_SPAN not in ids
    if len(counted) > 1 or not valid or trace == NO_TRACE:
        return None
    if any(map(_may_hold_run, spans)) and _SPAN_TYPE in payload:
        return None
    return trace, Facts(b"".join(ids))


def _count(payload: bytes) -> int:
    """How many spans a request has, those of which nothing is on the wire included."""
    owners = _Counting.FromString(payload).owners
    return sum(len(scope.spans) for owner in owners for scope in owner.scopes)


def _may_hold_run(column: Any) -> bool:
    """Whether one of the spans may be a run span: of kind SERVER, or without a parent."""
    parents = column.parent_span_id
    return _SERVER in column.kind or len(parents) != len(column.span_id) or b"" in parents
