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


class _Grpc:
    """The exporters' own channels, used one call at a time: the spool tries again, not they."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        options: dict[str, Any] = {}
        if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            options["endpoint"] = endpoint
        if os.environ.get("OTEL_EXPORTER_OTLP_COMPRESSION", "").strip().lower() == "none":
            # The specification knows the word, the exporter does not.
            del os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"]
        self._exporters: dict[Signal, Any] = {
            Signal.TRACES: GrpcSpans(**options),
            Signal.LOGS: GrpcLogs(**options),
            Signal.METRICS: GrpcMetrics(**options),
        }

    def send(self, signal: Signal, payload: bytes) -> Refusal | None:
        exporter = self._exporters[signal]
        try:
            exporter._client.Export(
                request=_REQUESTS[signal].FromString(payload),
                metadata=exporter._headers,
                timeout=exporter._timeout,
            )
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.UNAVAILABLE:  # the channel's own pause grows to minutes
                exporter._channel.close()
                exporter._initialize_channel_and_stub()
            return Refusal(f"{code.name}: {error.details()}", code not in _PASSING)
        except ValueError as error:  # closed in the meantime
            return Refusal(str(error), final=False)
        return None

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
