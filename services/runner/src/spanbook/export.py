"""The official OTLP exporters, fed with requests that are encoded already.

Endpoint, protocol, headers, time limit, compression and certificates come from the standard
``OTEL_EXPORTER_OTLP_*`` variables.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.exporter import OTLPExporterMixin
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spanbook_runfile.journal import Signal

from spanbook.errors import UsageError

DEFAULT_ENDPOINT = {"grpc": "http://127.0.0.1:4317", "http/protobuf": "http://127.0.0.1:4318"}
_REQUESTS: dict[Signal, Any] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}
_PASSING = {  # what the OTLP specification calls retryable
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
_PASSING_HTTP = {429, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not taken; ``final`` where asking again cannot help."""

    reason: str
    final: bool


class Exporter(Protocol):
    """Sends requests to one collector."""

    endpoint: str

    def send(self, signal: Signal, payload: bytes) -> Refusal | None:
        """Send one serialized export request; None once the collector acknowledged it."""

    def close(self) -> None:
        """Hang up; a send under way ends soon."""


def exporter(env: Mapping[str, str] | None = None) -> Exporter:
    """The exporter that the environment asks for.

    Raises:
        UsageError: the protocol is none that there is.
    """
    env = os.environ if env is None else env
    protocol = env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "") or "grpc"
    if protocol not in DEFAULT_ENDPOINT:
        raise UsageError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}. This runner speaks grpc and "
            "http/protobuf."
        )
    for name in ("grpc", "http"):  # they log each refusal themselves; we report in our own words
        logging.getLogger(f"opentelemetry.exporter.otlp.proto.{name}").setLevel(logging.CRITICAL)
    endpoint = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "") or DEFAULT_ENDPOINT[protocol]
    return _Grpc(endpoint) if protocol == "grpc" else _Http(endpoint)


class _Ready(OTLPExporterMixin[Any, Any, Any, Any]):
    """A gRPC exporter whose data is a ready request, and which tells why it failed."""

    refusal: grpc.RpcError | None = None

    def _translate_data(self, data: Any) -> Any:
        return data

    def _count_data(self, data: Any) -> int:  # noqa: ARG002
        return 1

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        client: Any = self._client
        send = client.Export

        def export(**kwargs: Any) -> Any:
            self.refusal = None
            try:
                return send(**kwargs)
            except grpc.RpcError as error:
                self.refusal = error
                raise

        client.Export = export


class _ReadySpans(_Ready, GrpcSpans):
    """Spans over gRPC."""


class _ReadyLogs(_Ready, GrpcLogs):
    """Log records over gRPC."""


class _ReadyMetrics(_Ready, GrpcMetrics):
    """Metrics over gRPC."""


class _Grpc:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        explicit = None if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ else endpoint
        self._exporters = {
            Signal.TRACES: _ReadySpans(explicit),
            Signal.LOGS: _ReadyLogs(explicit),
            Signal.METRICS: _ReadyMetrics(explicit),
        }

    def send(self, signal: Signal, payload: bytes) -> Refusal | None:
        exporter = self._exporters[signal]
        if exporter._export(_REQUESTS[signal].FromString(payload)).name == "SUCCESS":
            return None
        error = exporter.refusal
        if error is None:
            return Refusal("the exporter is closed", final=False)
        return Refusal(f"{error.code().name}: {error.details()}", error.code() not in _PASSING)

    def close(self) -> None:
        for exporter in self._exporters.values():
            exporter.shutdown()


class _Http:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

        def at(signal: str) -> str | None:
            fixed = {"OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"}
            return None if fixed & os.environ.keys() else f"{endpoint}/v1/{signal}"

        self._exporters: dict[Signal, Any] = {
            Signal.TRACES: HttpSpans(at("traces")),
            Signal.LOGS: HttpLogs(at("logs")),
            Signal.METRICS: HttpMetrics(at("metrics")),
        }

    def send(self, signal: Signal, payload: bytes) -> Refusal | None:
        answer = self._exporters[signal]._client.export(payload)
        if answer.success:
            return None
        status = answer.status_code
        reason = f"HTTP {status}" if status else str(answer.error)
        return Refusal(reason, status is not None and status not in _PASSING_HTTP)

    def close(self) -> None:
        for exporter in self._exporters.values():
            exporter.shutdown()
