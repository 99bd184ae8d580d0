"""Real clients: the Python SDK's exporters here, Node's in test_node.py."""

import logging

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc import (
    _log_exporter as grpc_logs,
)
from opentelemetry.exporter.otlp.proto.grpc import (
    metric_exporter as grpc_metrics,
)
from opentelemetry.exporter.otlp.proto.grpc import (
    trace_exporter as grpc_traces,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import (
    _log_exporter as http_logs,
)
from opentelemetry.exporter.otlp.proto.http import (
    metric_exporter as http_metrics,
)
from opentelemetry.exporter.otlp.proto.http import (
    trace_exporter as http_traces,
)
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def _exporters(running, transport: str):
    if transport == "grpc":
        options = {"endpoint": running.address, "insecure": True}
        return (
            grpc_traces.OTLPSpanExporter(**options),
            grpc_logs.OTLPLogExporter(**options),
            grpc_metrics.OTLPMetricExporter(**options),
        )
    compression = Compression.Gzip if transport == "http-gzip" else Compression.NoCompression
    return (
        http_traces.OTLPSpanExporter(f"{running.http}/v1/traces", compression=compression),
        http_logs.OTLPLogExporter(f"{running.http}/v1/logs", compression=compression),
        http_metrics.OTLPMetricExporter(f"{running.http}/v1/metrics", compression=compression),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("transport", ["grpc", "http", "http-gzip"])
def test_an_app_instrumented_with_the_python_sdk(collector, until, transport) -> None:
    """Telemetry of any SDK becomes run files: one of the trace, one of the service instance."""
    running = collector()
    spans, logs, metrics = _exporters(running, transport)
    resource = Resource({"service.name": "shop", "service.instance.id": "1"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    meters = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
    counter = meters.get_meter("shop").create_counter("orders")
    logger = logging.getLogger(f"shop.{transport}")
    logger.addHandler(LoggingHandler(logger_provider=loggers))
    with tracers.get_tracer("shop").start_as_current_span("GET /order") as outer:
        with tracers.get_tracer("shop").start_as_current_span("SELECT"):
            logger.warning("only one left")
        counter.add(1, {"kind": "book"})
    logger.warning("outside of any span")
    for provider in (tracers, loggers, meters):
        provider.shutdown()
    running.give_up()

    run_id = trace.format_trace_id(outer.get_span_context().trace_id)
    sealed = running.sealed(run_id)
    names = {
        s["name"] for g in sealed["resourceSpans"] for sc in g["scopeSpans"] for s in sc["spans"]
    }
    assert names == {"GET /order", "SELECT"}
    assert sealed["spanbook"]["reason"] == "idle"
    (record,) = sealed["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record["body"] == {"stringValue": "only one left"}
    until(lambda: len(list(running.outputs.glob("runs/*.json"))) == 2, 20)
    (other,) = (p.stem for p in running.outputs.glob("runs/*.json") if p.stem != run_id)
    instance = running.sealed(other)
    assert instance["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"] == "orders"
    (record,) = instance["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record["body"] == {"stringValue": "outside of any span"}
