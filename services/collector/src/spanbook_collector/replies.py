"""The answers of the OTLP services, for both transports."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Code,
)
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from spanbook_runfile.journal import Signal

from spanbook_collector.errors import Busy, NotUnary, Refusal, TooLarge
from spanbook_collector.ingest import Outcome

_RESPONSES: dict[Signal, tuple[Any, str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejected_spans"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
}
_CODES: dict[type[Refusal], Code.ValueType] = {
    TooLarge: RESOURCE_EXHAUSTED,
    NotUnary: UNIMPLEMENTED,
}
_CAMEL = {
    Signal.TRACES: "rejectedSpans",
    Signal.LOGS: "rejectedLogRecords",
    Signal.METRICS: "rejectedDataPoints",
}


def response(signal: Signal, outcome: Outcome) -> bytes:
    """The serialized response; ``partial_success`` is set only where something was rejected."""
    if not outcome.rejected:
        return b""
    message, field = _RESPONSES[signal]
    partial = {field: outcome.rejected, "error_message": outcome.message}
    out: bytes = message(partial_success=partial).SerializeToString()
    return out


def response_json(signal: Signal, outcome: Outcome) -> dict[str, object]:
    """The response in OTLP JSON."""
    if not outcome.rejected:
        return {}
    return {
        "partialSuccess": {_CAMEL[signal]: str(outcome.rejected), "errorMessage": outcome.message}
    }


def status(refusal: Refusal) -> Status:
    """A refusal as ``google.rpc.Status``, with RetryInfo where the client should come again."""
    if isinstance(refusal, Busy):
        out = Status(code=UNAVAILABLE, message=str(refusal))
        out.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=refusal.retry_after)))
        return out
    code = _CODES.get(type(refusal), INVALID_ARGUMENT)
    return Status(code=code, message=str(refusal))
