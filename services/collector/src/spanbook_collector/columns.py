"""The spans of a request as columns of ids, without a Python object for each span.

Protobuf's parser merges what comes repeatedly where one is declared, and gathers what is declared
as repeated. So with one of everything declared, and the ids of a span as repeated, one parse checks
all of a request, as OTLP's own classes do, and gives its ids as lists, in the memory of one span. An
object for each span took as long as that parse.
"""

from collections.abc import Iterator
from itertools import islice
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
_MOST_GROUPS = 64  # resources and scopes; more are looked at one by one
_BYTES = 2  # the wire type of what has a length


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
    if len(traces) != 1 or not _has_few_groups(payload):
        return None
    (trace,) = traces
    ids = list(column.span_id)
    valid = len(trace) == 16 and set(map(len, ids)) == _EIGHT and NO_SPAN not in ids
    if not valid or trace == NO_TRACE or not len(ids) == len(column.trace_id) == _count(payload):
        return None
    if _may_hold_run(column) and _SPAN_TYPE in payload:
        return None
    return trace, Facts(b"".join(ids))


def _has_few_groups(payload: bytes) -> bool:
    """Whether it can be told from the wire that there are not many resources and scopes."""
    left = _MOST_GROUPS
    try:
        for number, start, end in _fields(payload, 0, len(payload)):
            scopes = sum(1 for _ in islice(_fields(payload, start, end), left))
            left -= 1 + scopes
            if number != 1 or left <= 0:
                return False
    except (IndexError, ValueError):
        return False
    return True


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """A message's fields: the number, and where the content begins and ends.

    Raises:
        ValueError: one has no length, as all have that OTLP's requests and resources know.
        IndexError: the message is cut short.
    """
    while at < end:
        tag, at = _varint(data, at)
        if tag & 7 != _BYTES:
            raise ValueError(tag)
        length, at = _varint(data, at)
        yield tag >> 3, at, at + length
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number as protobuf writes it, and where the next thing begins."""
    number = shift = 0
    while (byte := data[at]) > 127:
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError(number)
    return number | byte << shift, at + 1


def _count(payload: bytes) -> int:
    """How many spans a request has, those of which nothing is on the wire included."""
    return len(_Counting.FromString(payload).inner.inner.inner)


def _may_hold_run(column: Any) -> bool:
    """Whether one of the spans may be a run span: of kind SERVER, or without a parent."""
    parents = column.parent_span_id
    return _SERVER in column.kind or len(parents) != len(column.span_id) or b"" in parents
