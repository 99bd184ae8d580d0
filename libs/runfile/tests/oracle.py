"""The independent codec: OTLP JSON as opentelemetry-proto-json reads it, beside protobuf."""

import math
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from opentelemetry.proto_json.logs.v1.logs import LogsData
from opentelemetry.proto_json.metrics.v1.metrics import MetricsData
from opentelemetry.proto_json.trace.v1.trace import TracesData
from spanbook_runfile.journal import Signal

READERS = {Signal.TRACES: TracesData, Signal.LOGS: LogsData, Signal.METRICS: MetricsData}
INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}


def read_all(content: bytes) -> dict[Signal, Any]:
    """A run file, read once by each of the three OTLP messages' own readers."""
    whole = orjson.loads(content)
    return {signal: reader.from_dict(whole) for signal, reader in READERS.items()}


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = 3) -> Message:
    """Any message of a type, each field set or not, as deep as ``depth``."""
    message = kind()
    oneofs = {
        o.name: draw(st.sampled_from([f.name for f in o.fields])) for o in kind.DESCRIPTOR.oneofs
    }
    for field in kind.DESCRIPTOR.fields:
        chosen = oneofs.get(field.containing_oneof.name) if field.containing_oneof else field.name
        if chosen != field.name or "strindex" in field.name or not draw(st.booleans()):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                inner = messages(field.message_type._concrete_class, depth - 1)
                _set_message(draw, message, field, inner)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_scalar(field), max_size=3)))
        else:
            setattr(message, field.name, draw(_scalar(field)))
    return message


def _set_message(draw: st.DrawFn, message: Message, field: Any, inner: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(inner, max_size=2)))
    else:
        getattr(message, field.name).CopyFrom(draw(inner))


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.name in {"trace_id", "span_id", "parent_span_id"}:
        return st.binary(min_size=8, max_size=8)
    if field.type in INTEGERS:
        return st.integers(*INTEGERS[field.type])
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return {
        FieldDescriptor.TYPE_STRING: st.text(max_size=10) | st.text(min_size=120, max_size=300),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=200),
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_DOUBLE: st.floats(),
    }[field.type]


def same(message: Message, read: Any, path: str = "") -> None:
    """Assert that what the other codec read is the message, field by field."""
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if "strindex" in field.name:
            continue
        ours, theirs = getattr(message, field.name), getattr(read, field.name)
        here = f"{path}.{field.name}"
        if field.is_repeated:
            assert len(ours) == len(theirs), here
            for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                _same_value(field, one, other, f"{here}[{number}]")
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not message.HasField(field.name):
            assert theirs is None or theirs == type(theirs)(), here
        elif field.containing_oneof and not message.HasField(field.name):
            assert theirs is None, here
        else:
            _same_value(field, ours, theirs, here)


def _same_value(field: FieldDescriptor, ours: Any, theirs: Any, here: str) -> None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if theirs is None:  # it leaves out what is empty
            assert not ours.ListFields(), here
        else:
            same(ours, theirs, here)
    elif field.type == FieldDescriptor.TYPE_DOUBLE and math.isnan(ours):
        assert math.isnan(theirs), here
    else:
        assert (theirs or type(ours)()) == ours, here
