"""Plain Python values in, OTLP protobuf messages out: what the runner sends."""

import contextlib
import datetime
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from spanbook_runfile import names

_INT64 = range(-(2**63), 2**63)
MAX_DEPTH = 24  # of nested lists and mappings: protobuf's parsers stop at 100 messages, 3 a mapping


def any_value(  # noqa: PLR0911 - one return a type
    value: object, _within: tuple[int, ...] = ()
) -> AnyValue:
    """One value as OTLP's AnyValue.

    None is the empty value; numpy and pandas scalars become what they hold; dates and times
    become ISO 8601 text; integers beyond 64 bits become text; what is nothing of the kind,
    nested deeper than :data:`MAX_DEPTH`, or within itself becomes its ``str``.
    """
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=_utf8(value))
    if isinstance(value, int):
        plain = int(value)  # of an IntEnum, which a range would compare with all its members
        if plain in _INT64:
            return AnyValue(int_value=plain)
        return AnyValue(string_value=_digits(plain))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Mapping | list | tuple | set | frozenset | range):
        if len(_within) == MAX_DEPTH or id(value) in _within:
            return AnyValue(string_value=_utf8(str(value)))
        within = (*_within, id(value))
        if isinstance(value, Mapping):
            pairs = [
                KeyValue(key=_utf8(str(k)), value=any_value(v, within)) for k, v in value.items()
            ]
            return AnyValue(kvlist_value=KeyValueList(values=pairs))
        return AnyValue(array_value=ArrayValue(values=[any_value(v, within) for v in value]))
    return _other_value(value)


def _other_value(value: object) -> AnyValue:
    if isinstance(value, datetime.date | datetime.time):  # datetime and pd.Timestamp are dates
        return AnyValue(string_value=value.isoformat())
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if isinstance(value, numbers.Integral):  # as numpy's timedelta64 says of itself
            return any_value(int(value))
        if isinstance(value, numbers.Real):
            return any_value(float(value))
    item = getattr(value, "item", None)  # numpy scalars and 0-d arrays
    if callable(item) and getattr(value, "shape", None) == ():
        plain = item()
        if plain is not value:
            return any_value(plain)
    tolist = getattr(value, "tolist", None)  # numpy arrays, pandas Series and Index
    if callable(tolist):
        return any_value(tolist())
    return AnyValue(string_value=_utf8(str(value)))


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # Python's limit for decimal digits
        return hex(number)


def _utf8(text: str) -> str:
    """Text that protobuf accepts: lone surrogates are replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def number_array(numbers: Iterable[float | None]) -> AnyValue:
    """Plain ints, floats and Nones as an array, several times faster than :func:`any_value`.

    Integers beyond 64 bits become doubles.
    """
    values: list[dict[str, float]] = []
    for number in numbers:
        if number is None:
            values.append({})
        elif isinstance(number, float):
            values.append({"double_value": number})
        elif int(number) in _INT64:
            values.append({"int_value": int(number)})
        else:
            values.append({"double_value": float(number)})
    return AnyValue(array_value=ArrayValue(values=values))  # type: ignore[arg-type]


def attributes(pairs: Mapping[str, object]) -> list[KeyValue]:
    """Attributes as OTLP key-values; a value of None is left out."""
    return [KeyValue(key=k, value=any_value(v)) for k, v in pairs.items() if v is not None]


def span(
    *,
    run_id: str,
    span_id: str,
    parent_id: str = "",
    name: str,
    start: int,
    end: int,
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_INTERNAL,
    attrs: Mapping[str, object],
    links: Sequence[tuple[str, Mapping[str, object]]] = (),
    error: str | None = None,
) -> Span:
    """One span; ids are hex, times nanoseconds; ``error`` is the status message of a failure."""
    trace_id = bytes.fromhex(run_id)
    return Span(
        trace_id=trace_id,
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent_id),
        name=_utf8(name),
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=max(end, start),
        attributes=attributes(attrs),
        links=[
            Span.Link(
                trace_id=trace_id, span_id=bytes.fromhex(target), attributes=attributes(link_attrs)
            )
            for target, link_attrs in links
        ],
        status=None
        if error is None
        else Status(code=Status.STATUS_CODE_ERROR, message=_utf8(error)),
    )


def log_record(
    *,
    run_id: str,
    span_id: str,
    record_id: str,
    time: int,
    event: str = "",
    body: object = None,
    attrs: Mapping[str, object] | None = None,
    severity: int = SeverityNumber.SEVERITY_NUMBER_INFO,
    severity_text: str = "",
) -> LogRecord:
    """One log record of a span; ``record_id`` is what duplicates are known by."""
    return LogRecord(
        time_unix_nano=time,
        observed_time_unix_nano=time,
        severity_number=severity,  # type: ignore[arg-type]
        severity_text=severity_text,
        body=any_value(body),
        attributes=attributes({names.RECORD_ID: record_id, **(attrs or {})}),
        trace_id=bytes.fromhex(run_id),
        span_id=bytes.fromhex(span_id),
        event_name=event,
    )


def gauge(
    name: str, unit: str, points: Iterable[tuple[int, float, Mapping[str, object]]]
) -> Metric:
    """One gauge of (time, value, attributes) points; NaN points are left out."""
    return Metric(
        name=name,
        unit=unit,
        gauge=Gauge(
            data_points=[
                NumberDataPoint(time_unix_nano=time, as_double=value, attributes=attributes(attrs))
                for time, value, attrs in points
                if not math.isnan(value)
            ]
        ),
    )


def resource(pairs: Mapping[str, object]) -> Resource:
    """The resource of a run."""
    return Resource(attributes=attributes(pairs))


def trace_request(owner: Resource, spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """Spans of one resource, ready to send."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=owner).scope_spans.add()
    group.scope.name = names.SCOPE_NAME
    group.spans.extend(spans)
    return request


def logs_request(owner: Resource, records: Iterable[LogRecord]) -> ExportLogsServiceRequest:
    """Log records of one resource, ready to send."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add(resource=owner).scope_logs.add()
    group.scope.name = names.SCOPE_NAME
    group.log_records.extend(records)
    return request


def metrics_request(owner: Resource, metrics: Iterable[Metric]) -> ExportMetricsServiceRequest:
    """Metrics of one resource, ready to send."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add(resource=owner).scope_metrics.add()
    group.scope.name = names.SCOPE_NAME
    group.metrics.extend(metrics)
    return request
