"""OTLP protobuf messages as OTLP JSON: lower camel case, hex ids, 64-bit integers as strings.

Source: the OTLP specification, "JSON Protobuf Encoding"; NaN and infinities as in proto3 JSON.
"""

import base64
import math
from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Object = dict[str, Any]


def double(value: float) -> float | str:
    """A double as JSON can hold it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def any_value(value: AnyValue) -> Object:
    """An AnyValue; the empty one is ``{}``."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return {"stringValue": value.string_value}
    if kind == "int_value":
        return {"intValue": str(value.int_value)}
    if kind == "double_value":
        return {"doubleValue": double(value.double_value)}
    if kind == "bool_value":
        return {"boolValue": value.bool_value}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
    if kind == "array_value":
        return {"arrayValue": {"values": [any_value(v) for v in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": attributes(value.kvlist_value.values)}}
    return {}


def attributes(pairs: Iterable[KeyValue]) -> list[Object]:
    """A list of key-values."""
    return [{"key": pair.key, "value": any_value(pair.value)} for pair in pairs]


def resource(message: Resource) -> Object:
    """A resource."""
    out: Object = {"attributes": attributes(message.attributes)}
    if message.dropped_attributes_count:
        out["droppedAttributesCount"] = message.dropped_attributes_count
    return out


def scope(message: InstrumentationScope) -> Object:
    """An instrumentation scope."""
    out: Object = {}
    if message.name:
        out["name"] = message.name
    if message.version:
        out["version"] = message.version
    if message.attributes:
        out["attributes"] = attributes(message.attributes)
    return out


def span(message: Span) -> Object:
    """A span."""
    out: Object = {
        "traceId": message.trace_id.hex(),
        "spanId": message.span_id.hex(),
        "name": message.name,
        "kind": message.kind,
        "startTimeUnixNano": str(message.start_time_unix_nano),
        "endTimeUnixNano": str(message.end_time_unix_nano),
    }
    if message.parent_span_id:
        out["parentSpanId"] = message.parent_span_id.hex()
    if message.trace_state:
        out["traceState"] = message.trace_state
    if message.flags:
        out["flags"] = message.flags
    if message.attributes:
        out["attributes"] = attributes(message.attributes)
    if message.events:
        out["events"] = [
            _dropped(
                event.dropped_attributes_count,
                {
                    "timeUnixNano": str(event.time_unix_nano),
                    "name": event.name,
                    "attributes": attributes(event.attributes),
                },
            )
            for event in message.events
        ]
    if message.links:
        out["links"] = [_link(link) for link in message.links]
    for field in ("dropped_attributes_count", "dropped_events_count", "dropped_links_count"):
        if count := getattr(message, field):
            first, *rest = field.split("_")
            out[first + "".join(word.title() for word in rest)] = count
    if message.HasField("status"):
        status: Object = {"code": message.status.code}
        if message.status.message:
            status["message"] = message.status.message
        out["status"] = status
    return out


def _link(message: Span.Link) -> Object:
    out: Object = {"traceId": message.trace_id.hex(), "spanId": message.span_id.hex()}
    if message.trace_state:
        out["traceState"] = message.trace_state
    if message.attributes:
        out["attributes"] = attributes(message.attributes)
    if message.flags:
        out["flags"] = message.flags
    return _dropped(message.dropped_attributes_count, out)


def _dropped(count: int, out: Object) -> Object:
    if count:
        out["droppedAttributesCount"] = count
    return out


def log_record(message: LogRecord) -> Object:
    """A log record."""
    out: Object = {
        "timeUnixNano": str(message.time_unix_nano),
        "observedTimeUnixNano": str(message.observed_time_unix_nano),
    }
    if message.severity_number:
        out["severityNumber"] = message.severity_number
    if message.severity_text:
        out["severityText"] = message.severity_text
    if message.HasField("body"):
        out["body"] = any_value(message.body)
    if message.attributes:
        out["attributes"] = attributes(message.attributes)
    if message.flags:
        out["flags"] = message.flags
    if message.trace_id:
        out["traceId"] = message.trace_id.hex()
    if message.span_id:
        out["spanId"] = message.span_id.hex()
    if message.event_name:
        out["eventName"] = message.event_name
    return _dropped(message.dropped_attributes_count, out)


def metric(message: Metric) -> Object:
    """A metric with its data points; exemplars' ids are hex as everywhere in OTLP JSON."""
    out: Object = MessageToDict(message, use_integers_for_enums=True)
    for kind in ("gauge", "sum", "histogram", "exponentialHistogram"):
        for point in out.get(kind, {}).get("dataPoints", ()):
            for exemplar in point.get("exemplars", ()):
                for key in ("traceId", "spanId"):
                    if key in exemplar:
                        exemplar[key] = base64.b64decode(exemplar[key]).hex()
    return out
