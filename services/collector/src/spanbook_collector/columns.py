"""The spans of a request as columns of ids, without a Python object for each span.

Protobuf's parser merges what comes repeatedly where one is declared, and gathers what is declared
as repeated. So with one of everything declared, and the ids of a span as repeated, one parse checks
all of a request, as OTLP's own classes do, and gives its ids as lists, in the memory of one span. An
object for each span took as long as that parse.
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
from spanbook_collector.wire import count_fields

_COLUMNS = {"trace_id", "span_id", "parent_span_id", "kind"}
_EIGHT = {8}
_SERVER = trace_pb2.Span.SPAN_KIND_SERVER
_SPAN_TYPE = names.SPAN_TYPE.encode()
_FEW = 200  # fields around the spans; a request with more is looked at span by span


def _columnar() -> Any:
    """OTLP's trace request, with one of each message, whose span gathers the ids of all."""
    pool = DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in (m for outer in file.message_type for m in (outer, *outer.nested_type)):
            for field in message.field:
                if message.name == "Span" and field.name in _COLUMNS:
                    field.label = FieldDescriptorProto.LABEL_REPEATED
                elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
                    field.label = FieldDescriptorProto.LABEL_OPTIONAL
        pool.AddSerializedFile(file.SerializeToString())
    name = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name
    return GetMessageClass(pool.FindMessageTypeByName(name))


def _counting() -> Any:
    """A trace request that is parsed only as deep as to tell how many spans there are."""
    file = FileDescriptorProto(name="spanbook/count.proto", package="spanbook", syntax="proto3")
    for name, number, inner in (("Scope", 2, ""), ("Owner", 2, "Scope"), ("All", 1, "Owner")):
        entry = file.message_type.add(name=name).field.add(name="inner", number=number)
        if inner:  # all of them merged into one
            entry.label = FieldDescriptorProto.LABEL_OPTIONAL
            entry.type = FieldDescriptorProto.TYPE_MESSAGE
            entry.type_name = f".spanbook.{inner}"
        else:
            entry.label = FieldDescriptorProto.LABEL_REPEATED
            entry.type = FieldDescriptorProto.TYPE_BYTES
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
    column = _Columnar.FromString(payload).resource_spans.scope_spans.spans
    traces = set(column.trace_id)
    if len(traces) != 1 or count_fields(payload, _FEW) == _FEW:
        return None
    (trace,) = traces
    ids = list(column.span_id)
    valid = len(trace) == 16 and set(map(len, ids)) == _EIGHT and NO_SPAN not in ids
    if not valid or trace == NO_TRACE or not len(ids) == len(column.trace_id) == _count(payload):
        return None
    if _may_hold_run(column) and _SPAN_TYPE in payload:
        return None
    return trace, Facts(b"".join(ids))


def _count(payload: bytes) -> int:
    """How many spans a request has, those of which nothing is on the wire included."""
    return len(_Counting.FromString(payload).inner.inner.inner)


def _may_hold_run(column: Any) -> bool:
    """Whether one of the spans may be a run span: of kind SERVER, or without a parent."""
    parents = column.parent_span_id
    return _SERVER in column.kind or len(parents) != len(column.span_id) or b"" in parents
