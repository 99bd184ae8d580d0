"""Export requests, parsed only as deep as the merge needs.

The messages are OTLP's own, but for one thing: what stands inside a span or log record as a message
(an attribute, a link, a body) is left as its bytes. Most attributes come again and again, so that
their JSON can be looked up by those bytes; making a Python object of each takes most of the time
otherwise. A field that holds one message is a list here, so that an empty one is told from none.
"""

from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanbook_runfile.journal import Signal

_PACKAGE = "spanbook.wire"


def _flat(source: Descriptor) -> DescriptorProto:
    """A message type like another, with the bytes of the messages inside it in their place."""
    original = DescriptorProto()
    source.CopyToProto(original)
    flat = DescriptorProto(name=original.name)
    for field in original.field:
        copy = flat.field.add(
            name=field.name, number=field.number, label=field.label, type=field.type
        )
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            copy.type = FieldDescriptorProto.TYPE_BYTES
            copy.label = FieldDescriptorProto.LABEL_REPEATED
        elif field.type == FieldDescriptorProto.TYPE_ENUM:
            copy.type = FieldDescriptorProto.TYPE_INT32
    return flat


def _holder(name: str, *fields: tuple[str, str]) -> DescriptorProto:
    """A message type with fields 1, 2, 3 …; a type that starts with a dot is a message's."""
    holder = DescriptorProto(name=name)
    for number, (field_name, kind) in enumerate(fields, 1):
        field = holder.field.add(
            name=field_name, number=number, label=FieldDescriptorProto.LABEL_REPEATED
        )
        if kind.startswith("."):
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}{kind}"
        elif kind == "bytes":
            field.type = FieldDescriptorProto.TYPE_BYTES
        else:
            field.type = FieldDescriptorProto.TYPE_STRING
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
    return holder


def _requests() -> dict[Signal, Any]:
    """The request class of each signal: ``owners`` → ``groups`` → ``items``."""
    file = FileDescriptorProto(name="spanbook/wire.proto", package=_PACKAGE, syntax="proto3")
    file.message_type.extend([_flat(Span.DESCRIPTOR), _flat(LogRecord.DESCRIPTOR)])
    items = {Signal.TRACES: ".Span", Signal.LOGS: ".LogRecord", Signal.METRICS: "bytes"}
    for signal, kind in items.items():
        name = signal.name.title()
        group = (("scope", "bytes"), ("items", kind), ("schema_url", "string"))
        owner = (("resource", "bytes"), ("groups", f".{name}Group"), ("schema_url", "string"))
        file.message_type.append(_holder(f"{name}Group", *group))
        file.message_type.append(_holder(f"{name}Owner", *owner))
        file.message_type.append(_holder(f"{name}Request", ("owners", f".{name}Owner")))
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        signal: GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{signal.name.title()}Request")
        )
        for signal in Signal
    }


REQUESTS = _requests()
