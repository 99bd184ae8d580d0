"""OTLP messages as OTLP JSON text: lower camel case, hex ids, 64-bit integers as strings.

Spans and log records are those of :mod:`spanbook_runfile.wire`. The text is put together by hand,
since this is where the time of a seal goes. Source: the OTLP specification, "JSON Protobuf
Encoding"; NaN and infinities as in proto3 JSON.
"""

import binascii
import math
import struct
from typing import Any

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_quoted = orjson.dumps
_DOUBLE = struct.Struct("<d")
_LONG = 256  # bytes: longer attributes hardly come twice
_MANY = 1 << 16  # attributes that are kept


def _double(value: float) -> bytes:
    """A double as JSON can hold it."""
    if math.isfinite(value):
        return _quoted(value)
    if math.isnan(value):
        return b'"NaN"'
    return b'"Infinity"' if value > 0 else b'"-Infinity"'


def _any_value(value: Any) -> bytes:
    """An AnyValue; the empty one is ``{}``."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text = b'"stringValue":' + _quoted(value.string_value)
    elif kind == "int_value":
        text = b'"intValue":"%d"' % value.int_value
    elif kind == "double_value":
        text = b'"doubleValue":' + _double(value.double_value)
    elif kind == "bool_value":
        text = b'"boolValue":true' if value.bool_value else b'"boolValue":false'
    elif kind == "bytes_value":
        text = b'"bytesValue":"%b"' % pybase64.b64encode(value.bytes_value)
    elif kind == "array_value":
        text = b'"arrayValue":{"values":[%b]}' % b",".join(
            map(_any_value, value.array_value.values)
        )
    elif kind == "kvlist_value":
        text = b'"kvlistValue":{"values":[%b]}' % b",".join(map(_pair, value.kvlist_value.values))
    else:
        text = b""
    return b"{%b}" % text


def _pair(pair: Any) -> bytes:
    return b'{"key":%b,"value":%b}' % (_quoted(pair.key), _any_value(pair.value))


def _pairs(pairs: Any) -> bytes:
    return b",".join(map(_pair, pairs))


def _parsed_value(raw: bytes) -> bytes:
    try:
        return _any_value(AnyValue.FromString(raw))
    except DecodeError:  # nested deeper than protobuf reads, or damaged before it was journaled
        return b"{}"


def _content(raw: bytes) -> int:
    """Where a string or bytes value's content begins, behind ``tag, length``; 0 if it is odd."""
    length = shift = 0
    for at, byte in enumerate(raw[1:6], 2):
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return at if at + length == len(raw) else 0
    return 0


def _body(raw: bytes) -> tuple[bytes, ...]:
    """The bytes of an AnyValue as JSON, in parts: an artifact's chunk is not copied once more."""
    if at := bytes_at(raw):
        return b'{"bytesValue":"', pybase64.b64encode(memoryview(raw)[at:]), b'"}'
    return (_value(raw),)


def _value(raw: bytes) -> bytes:
    """The bytes of an AnyValue as JSON; the usual kinds without a message object."""
    size = len(raw)
    if not size:
        return b"{}"
    tag = raw[0]
    if tag == 0x0A and (at := _content(raw)):
        return b'{"stringValue":%b}' % _quoted(_string(raw[at:]))
    if tag == 0x18:
        number = shift = 0
        for byte in raw[1:]:
            number |= (byte & 127) << shift
            shift += 7
        if raw[-1] < 128 and shift <= 70:
            number &= (1 << 64) - 1
            return b'{"intValue":"%d"}' % (number - (1 << 64) if number >> 63 else number)
    elif tag == 0x21 and size == 9:
        return b'{"doubleValue":%b}' % _double(_DOUBLE.unpack_from(raw, 1)[0])
    elif tag == 0x10 and size == 2:
        return b'{"boolValue":true}' if raw[1] else b'{"boolValue":false}'
    return _parsed_value(raw)


class _Attributes(dict[bytes, bytes]):
    """The bytes of a KeyValue → its JSON; remembers those that are short."""

    def __init__(self) -> None:
        super().__init__()
        self._heads: dict[bytes, bytes] = {}

    def __missing__(self, raw: bytes) -> bytes:
        # The usual form: key (tag, length, content), value (tag, length, content), both short.
        size = len(raw)
        end = raw[1] + 2 if size > 1 else size
        head = self._heads.get(raw[: end + 1]) or self._head(raw, end)
        if head and end + 2 < size and raw[end + 1] == size - end - 2 < 128:
            if raw[end + 2] == 0x0A and raw[end + 3] == size - end - 4:
                text = head + b'{"stringValue":' + _quoted(_string(raw[end + 4 :])) + b"}}"
            else:
                text = head + _value(raw[end + 2 :]) + b"}"
        else:
            text = _parsed_pair(raw)
        if size < _LONG:
            if len(self) >= _MANY:
                self.clear()
            self[raw] = text
        return text

    def _head(self, raw: bytes, end: int) -> bytes:
        """The JSON up to the value, of a KeyValue whose value's tag stands at ``end``."""
        if not (end + 2 < len(raw) and raw[0] == 0x0A and raw[1] < 128 and raw[end] == 0x12):
            return b""
        if len(self._heads) >= _MANY:
            self._heads.clear()
        head = b'{"key":%b,"value":' % _quoted(_string(raw[2:end]))
        self._heads[raw[: end + 1]] = head
        return head


def _string(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def _parsed_pair(raw: bytes) -> bytes:
    try:
        return _pair(KeyValue.FromString(raw))
    except DecodeError:
        return b'{"key":"unreadable","value":{}}'


_attribute = _Attributes().__getitem__


def span(message: Any) -> bytes:
    """A span."""
    parts = [
        b'{"traceId":"%b","spanId":"%b","name":%b,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"'
        % (
            binascii.hexlify(message.trace_id),
            binascii.hexlify(message.span_id),
            _quoted(message.name),
            message.kind,
            message.start_time_unix_nano,
            message.end_time_unix_nano,
        )
    ]
    if parent := message.parent_span_id:
        parts.append(b',"parentSpanId":"%b"' % binascii.hexlify(parent))
    if attributes := message.attributes:
        parts.append(b',"attributes":[%b]' % b",".join(map(_attribute, attributes)))
    if status := message.status:
        parts.append(b',"status":' + _status(b"".join(status)))
    if events := message.events:
        parts.append(b',"events":[%b]' % b",".join(map(_event, events)))
    if links := message.links:
        parts.append(b',"links":[%b]' % b",".join(map(_link, links)))
    if state := message.trace_state:
        parts.append(b',"traceState":' + _quoted(state))
    if flags := message.flags:
        parts.append(b',"flags":%d' % flags)
    if count := message.dropped_attributes_count:
        parts.append(b',"droppedAttributesCount":%d' % count)
    if count := message.dropped_events_count:
        parts.append(b',"droppedEventsCount":%d' % count)
    if count := message.dropped_links_count:
        parts.append(b',"droppedLinksCount":%d' % count)
    parts.append(b"}")
    return b"".join(parts)


def _status(raw: bytes) -> bytes:
    status = Status.FromString(raw)
    message = b',"message":' + _quoted(status.message) if status.message else b""
    return b'{"code":%d%b}' % (status.code, message)


def _event(raw: bytes) -> bytes:
    event = Span.Event.FromString(raw)
    return b'{"timeUnixNano":"%d","name":%b,"attributes":[%b]%b}' % (
        event.time_unix_nano,
        _quoted(event.name),
        _pairs(event.attributes),
        _dropped(event),
    )


def _link(raw: bytes) -> bytes:
    link = Span.Link.FromString(raw)
    text = b'{"traceId":"%b","spanId":"%b"' % (
        binascii.hexlify(link.trace_id),
        binascii.hexlify(link.span_id),
    )
    if link.trace_state:
        text += b',"traceState":' + _quoted(link.trace_state)
    if link.attributes:
        text += b',"attributes":[%b]' % _pairs(link.attributes)
    if link.flags:
        text += b',"flags":%d' % link.flags
    return text + _dropped(link) + b"}"


def _dropped(message: Any) -> bytes:
    count = message.dropped_attributes_count
    return b',"droppedAttributesCount":%d' % count if count else b""


def log_record(message: Any) -> bytes:
    """A log record."""
    before, behind = _around_body(message)
    if body := message.body:
        return b"".join((*before, b',"body":', *_body(b"".join(body)), *behind))
    return b"".join((*before, *behind))


def log_record_around(message: Any) -> tuple[bytes, bytes]:
    """A log record whose body is bytes: the JSON before and behind those, which are base64."""
    before, behind = _around_body(message)
    return b"".join((*before, b',"body":{"bytesValue":"')), b"".join((b'"}', *behind))


def bytes_at(raw: bytes) -> int:
    """Where the content begins in the bytes of an AnyValue of bytes; 0 where it is none."""
    return _content(raw) if raw[:1] == b"\x3a" else 0


def _around_body(message: Any) -> tuple[list[bytes], list[bytes]]:
    parts = [
        b'{"timeUnixNano":"%d","observedTimeUnixNano":"%d"'
        % (message.time_unix_nano, message.observed_time_unix_nano)
    ]
    if severity := message.severity_number:
        parts.append(b',"severityNumber":%d' % severity)
    if text := message.severity_text:
        parts.append(b',"severityText":' + _quoted(text))
    if event := message.event_name:
        parts.append(b',"eventName":' + _quoted(event))
    if trace_id := message.trace_id:
        parts.append(b',"traceId":"%b"' % binascii.hexlify(trace_id))
    if span_id := message.span_id:
        parts.append(b',"spanId":"%b"' % binascii.hexlify(span_id))
    if attributes := message.attributes:
        parts.append(b',"attributes":[%b]' % b",".join(map(_attribute, attributes)))
    behind = []
    if flags := message.flags:
        behind.append(b',"flags":%d' % flags)
    if count := message.dropped_attributes_count:
        behind.append(b',"droppedAttributesCount":%d' % count)
    behind.append(b"}")
    return parts, behind


def resource(raw: bytes) -> bytes:
    """The bytes of a resource."""
    message = Resource.FromString(raw)
    entities = b""
    if message.entity_refs:
        refs = [MessageToDict(ref) for ref in message.entity_refs]
        entities = b',"entityRefs":' + orjson.dumps(refs)
    return b'{"attributes":[%b]%b%b}' % (_pairs(message.attributes), _dropped(message), entities)


def scope(raw: bytes) -> bytes:
    """The bytes of an instrumentation scope."""
    message = InstrumentationScope.FromString(raw)
    parts = []
    if message.name:
        parts.append(b'"name":' + _quoted(message.name))
    if message.version:
        parts.append(b'"version":' + _quoted(message.version))
    if message.attributes:
        parts.append(b'"attributes":[%b]' % _pairs(message.attributes))
    if message.dropped_attributes_count:
        parts.append(_dropped(message)[1:])
    return b"{%b}" % b",".join(parts)


KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def metric_head(message: Metric) -> tuple[bytes, Any]:
    """A metric's JSON as far as its data points, and those; empty where it has none.

    The points follow, with commas between them, then :data:`METRIC_TAIL`.
    """
    kind = message.WhichOneof("data")
    if kind is None:
        return b"", ()
    points = getattr(message, kind).data_points
    bare = Metric()
    bare.CopyFrom(message)
    getattr(bare, kind).ClearField("data_points")
    whole = MessageToDict(bare, use_integers_for_enums=True)
    name, *rest = kind.split("_")
    data = whole.pop(name + "".join(map(str.title, rest)), {})
    key = name + "".join(map(str.title, rest))
    head = orjson.dumps({**whole, key: data})[:-2]
    return head + (b',"dataPoints":[' if data else b'"dataPoints":['), points


METRIC_TAIL = b"]}}"


def data_point(message: Any) -> bytes:
    """A data point of any kind; exemplars' ids are hex, as everywhere in OTLP JSON."""
    if not isinstance(message, NumberDataPoint) or message.exemplars:
        out = MessageToDict(message, use_integers_for_enums=True)
        for exemplar in out.get("exemplars", ()):
            for key in ("traceId", "spanId"):
                if key in exemplar:
                    exemplar[key] = pybase64.b64decode(exemplar[key]).hex()
        return orjson.dumps(out)
    parts = [b'{"timeUnixNano":"%d"' % message.time_unix_nano]
    kind = message.WhichOneof("value")
    if kind == "as_double":
        parts.append(b',"asDouble":' + _double(message.as_double))
    elif kind == "as_int":
        parts.append(b',"asInt":"%d"' % message.as_int)
    if message.attributes:
        parts.append(b',"attributes":[%b]' % _pairs(message.attributes))
    if message.start_time_unix_nano:
        parts.append(b',"startTimeUnixNano":"%d"' % message.start_time_unix_nano)
    if message.flags:
        parts.append(b',"flags":%d' % message.flags)
    parts.append(b"}")
    return b"".join(parts)


__all__ = [
    "METRIC_TAIL",
    "bytes_at",
    "data_point",
    "log_record",
    "log_record_around",
    "metric_head",
    "resource",
    "scope",
    "span",
]
