"""OTLP JSON in: checked against the protobuf descriptors, and made protobuf.

Ids are hex, other bytes base64, 64-bit integers strings or numbers, enums integers (names too),
unknown fields are ignored, as the OTLP specification wants it. The input is hostile until it is
through: every shape, range and depth is checked, and the message names the place.
"""

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanbook_runfile.errors import NotOtlpError
from spanbook_runfile.journal import Signal

MAX_DEPTH = 90  # messages in messages; protobuf's own parser stops at 100
MAX_LENGTH = 1_500_000  # elements of one array: three bytes of JSON can make one
_IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_F = FieldDescriptor
_RANGES = {
    _F.TYPE_INT32: range(-(2**31), 2**31),
    _F.TYPE_SINT32: range(-(2**31), 2**31),
    _F.TYPE_SFIXED32: range(-(2**31), 2**31),
    _F.TYPE_UINT32: range(2**32),
    _F.TYPE_FIXED32: range(2**32),
    _F.TYPE_INT64: range(-(2**63), 2**63),
    _F.TYPE_SINT64: range(-(2**63), 2**63),
    _F.TYPE_SFIXED64: range(-(2**63), 2**63),
    _F.TYPE_UINT64: range(2**64),
    _F.TYPE_FIXED64: range(2**64),
}
_REQUESTS: dict[Signal, Any] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}
Read = Callable[[Any, int], Any]


def to_protobuf(signal: Signal, body: bytes) -> bytes:
    """An export request in OTLP JSON as serialized protobuf; nothing at all is the empty one.

    Raises:
        NotOtlpError: it is not JSON, or no such request.
    """
    if not body:
        return b""
    request = _REQUESTS[signal]
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotOtlpError(f"The body is not JSON: {error}.") from error
    try:
        fields = _message(request.DESCRIPTOR, whole, 0)
        payload: bytes = request(**fields).SerializeToString()
    except _Wrong as wrong:
        raise NotOtlpError(f"The body is no {request.DESCRIPTOR.name}: {wrong}.") from wrong
    return payload


class _Wrong(Exception):  # noqa: N818 - gathers the path on its way up
    """What is wrong at one place; the place is put together while the stack unwinds."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.path)) or 'the whole'} {self.problem}"


def _message(descriptor: Descriptor, value: Any, depth: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"is {_kind(value)}, not an object")
    if depth > MAX_DEPTH:
        raise _Wrong(f"is nested deeper than {MAX_DEPTH} levels")
    table = _fields(descriptor.full_name, descriptor)
    out = {}
    for key, item in value.items():
        if item is None or key not in table:
            continue
        name, read = table[key]
        try:
            out[name] = read(item, depth + 1)
        except _Wrong as wrong:
            wrong.path.append(key)
            raise
    return out


@cache
def _fields(_: str, descriptor: Descriptor) -> dict[str, tuple[str, Read]]:
    """The fields of a message, under their JSON and their protobuf names."""
    table = {}
    for field in descriptor.fields:
        read = _reader(field)
        if field.is_repeated:
            read = _repeated(read)
        table[field.json_name] = table[field.name] = (field.name, read)
    return table


def _reader(field: FieldDescriptor) -> Read:
    if field.type == _F.TYPE_MESSAGE:
        message = field.message_type
        return lambda value, depth: _message(message, value, depth)
    if field.type in _RANGES:
        allowed = _RANGES[field.type]
        return lambda value, _: _integer(value, allowed)
    if field.type == _F.TYPE_ENUM:
        by_name = {value.name: value.number for value in field.enum_type.values}
        return lambda value, _: _enum(value, by_name)
    if field.type == _F.TYPE_BYTES:
        return _hex if field.name in _IDS else _base64
    if field.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return _double
    return _boolean if field.type == _F.TYPE_BOOL else _string


_INT32 = _RANGES[_F.TYPE_INT32]


def _repeated(read: Read) -> Read:
    def read_all(value: Any, depth: int) -> list[Any]:
        if not isinstance(value, list):
            raise _Wrong(f"is {_kind(value)}, not an array")
        if len(value) > MAX_LENGTH:
            raise _Wrong(f"has over {MAX_LENGTH:,} elements")
        out = []
        for index, item in enumerate(value):
            try:
                out.append(read(item, depth))
            except _Wrong as wrong:
                wrong.path.append(f"[{index}]")
                raise
        return out

    return read_all


def _integer(value: Any, allowed: range) -> int:
    number: Any = value
    if isinstance(value, str) and len(value) <= 24:
        try:
            number = int(value)
        except ValueError:
            number = None
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool):
        raise _Wrong(f"is {_kind(value)}, not an integer")
    if number not in allowed:
        raise _Wrong("is an integer out of range")
    return number


def _enum(value: Any, by_name: dict[str, int]) -> int:
    if isinstance(value, str) and value in by_name:
        return by_name[value]
    return _integer(value, _INT32)


def _double(value: Any, _: int) -> float:
    if isinstance(value, str) and len(value) <= 64:
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _Wrong(f"is {_kind(value)}, not a number")


def _hex(value: Any, _: int) -> bytes:
    try:
        return bytes.fromhex(_string(value, 0))
    except ValueError:
        raise _Wrong("is not hexadecimal") from None


def _base64(value: Any, _: int) -> bytes:
    text = _string(value, 0).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _Wrong("is not base64") from None


_URL_SAFE = str.maketrans("-_", "+/")


def _string(value: Any, _: int) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"is {_kind(value)}, not a string")
    return value


def _boolean(value: Any, _: int) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"is {_kind(value)}, not true or false")
    return value


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
