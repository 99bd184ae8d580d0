"""OTLP JSON in, against an independent codec."""

import base64
import json

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto_json.collector.trace.v1 import trace_service as oracle
from spanbook_runfile import encode
from spanbook_runfile.errors import NotOtlpError
from spanbook_runfile.fromjson import to_protobuf
from spanbook_runfile.journal import Signal

VALUES = st.recursive(
    st.one_of(
        st.text(max_size=20),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.binary(max_size=20),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    trace=st.binary(min_size=16, max_size=16),
    span=st.binary(min_size=8, max_size=8),
    start=st.integers(0, 2**64 - 1),
    attrs=st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4),
    name=st.text(max_size=20),
)
def test_what_the_independent_codec_writes_is_read_the_same(
    trace, span, start, attrs, name
) -> None:
    """A request written as JSON by opentelemetry-proto-json is the protobuf request again."""
    made = encode.span(
        run_id=trace.hex(),
        span_id=span.hex(),
        name=name,
        start=start,
        end=start,
        attrs=attrs,
        links=[(span.hex(), attrs)],
        error="m",
    )
    request = encode.trace_request(encode.resource(attrs), [made])
    document = _by_the_oracle(request)
    assert ExportTraceServiceRequest.FromString(to_protobuf(Signal.TRACES, document)) == request


def _by_the_oracle(request: ExportTraceServiceRequest) -> bytes:
    """The request as the independent codec writes it."""
    plain = MessageToDict(request, use_integers_for_enums=True)
    for group in plain["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                for owner in (span, *span.get("links", ())):
                    for key in ("traceId", "spanId"):
                        owner[key] = base64.b64decode(owner[key]).hex()
    written: str = oracle.ExportTraceServiceRequest.from_json(json.dumps(plain)).to_json()
    return written.encode()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ('{"resourceLogs": {}}', "resourceLogs is an object, not an array"),
        ('{"resourceLogs": [7]}', "resourceLogs.[0] is a number, not an object"),
        (
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xy"}]}]}]}',
            "resourceLogs.[0].scopeLogs.[0].logRecords.[0].traceId is not hexadecimal",
        ),
        (
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}',
            "timeUnixNano is an integer out of range",
        ),
        (
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":{}}]}]}]}',
            "severityNumber is an object, not an integer",
        ),
        ("[]", "the whole is an array, not an object"),
    ],
)
def test_the_message_names_the_place(document, place) -> None:
    """What is wrong is told with the path to it."""
    with pytest.raises(NotOtlpError) as caught:
        to_protobuf(Signal.LOGS, document.encode())
    assert place in str(caught.value)


def test_lenient_where_the_spec_is() -> None:
    """Numbers as strings or numbers, enum names, nulls, unknown fields, url-safe base64, NaN."""
    document = """{"resourceLogs":[{"x":[{}],"resource":null,"scopeLogs":[{"logRecords":[
        {"timeUnixNano":5,"observedTimeUnixNano":"6","severityNumber":"SEVERITY_NUMBER_WARN",
         "unknown":{"deep":[1]},"body":{"bytesValue":"_-8"},
         "attributes":[{"key":"n","value":{"doubleValue":"NaN"}},{"key":"i","value":{"intValue":7}}]}
    ]}]}]}"""
    request = ExportLogsServiceRequest.FromString(to_protobuf(Signal.LOGS, document.encode()))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (5, 6)
    assert record.severity_number == 13
    assert record.body.bytes_value == b"\xff\xef"
    assert record.attributes[0].value.double_value != record.attributes[0].value.double_value
    assert record.attributes[1].value.int_value == 7
