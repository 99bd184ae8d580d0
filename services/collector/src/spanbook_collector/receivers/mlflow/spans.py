"""Spans of MLflow's tracing and of any OpenTelemetry program, as spans of the attempt."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal

from spanbook_collector.receivers.http import Body
from spanbook_collector.receivers.mlflow import records
from spanbook_collector.receivers.mlflow.calls import Call
from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.tracking import Tracking
from spanbook_collector.receivers.mlflow.views import Ref


async def add(tracking: Tracking, ref: Ref, content: bytes) -> None:
    """Have the spans of a ``traces.json`` in the run's own trace, too."""
    try:
        spans = json.loads(content).get("spans", [])
        made = [span for raw in spans if (span := _span(ref, raw))]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return  # the file itself is kept
    if made:
        async with tracking.writing(ref) as book:
            payload = records.traces(book.owner, made, beside=not ref.alone)
            await tracking.export(ref.run, Signal.TRACES, payload)


def _span(ref: Ref, raw: Mapping[str, Any]) -> Span | None:
    """A span as MLflow 2 or 3 writes it."""
    context = raw.get("context")
    if isinstance(context, dict):
        span_id, trace_id = _id(context.get("span_id")), str(context.get("trace_id", ""))
        start, end = raw.get("start_time"), raw.get("end_time")
        parent = raw.get("parent_id")
        failed, message = raw.get("status_code") == "ERROR", str(raw.get("status_message") or "")
    else:
        span_id, trace_id = _id(raw.get("span_id")), str(raw.get("trace_id", ""))
        start, end = raw.get("start_time_unix_nano"), raw.get("end_time_unix_nano")
        parent = raw.get("parent_span_id")
        status = raw.get("status") if isinstance(raw.get("status"), dict) else {}
        failed = str(status.get("code", "")) in ("STATUS_CODE_ERROR", "ERROR", "2")  # type: ignore[union-attr]
        message = str(status.get("message") or "")  # type: ignore[union-attr]
    if not span_id:
        return None
    attributes = raw.get("attributes")
    return encode.span(
        run_id=ref.run,
        span_id=_own_id(trace_id, span_id),
        parent_id=_own_id(trace_id, _id(parent)) if parent and _id(parent) else ref.span,
        name=str(raw.get("name", "")),
        start=int(start or 0),
        end=int(end or start or 0),
        attrs={
            **(attributes if isinstance(attributes, dict) else {}),
            names.FOREIGN_TRACE: trace_id,
        },
        error=(message or "error") if failed else None,
    )


def _id(value: object) -> str:
    """A span's id in hex, from hex or base64; empty where it is none."""
    text = str(value or "").removeprefix("0x")
    if len(text) == 16 and all(c in "0123456789abcdef" for c in text):
        return text
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return raw.hex() if len(raw) == 8 else ""


def _own_id(trace: str, span: str) -> str:
    """A span's id in the run: those of two traces may be alike."""
    return hashlib.sha256(f"{trace} {span}".encode()).hexdigest()[:16]


async def export(call: Call) -> web.StreamResponse:
    """``POST v1/traces`` below the tracking address: spans of any program of the attempt."""
    assert call.home is not None
    body = Body(call.request, call.tracking.settings.max_message_bytes, call.tracking.budget)
    try:
        try:
            request = ExportTraceServiceRequest.FromString(await body.read())
        except DecodeError as error:
            raise MlflowError(f"The body is no OTLP request: {error}", "BAD_REQUEST") from error
        home = call.home
        made = []
        for group in request.resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    trace = span.trace_id.hex()
                    span.span_id = bytes.fromhex(_own_id(trace, span.span_id.hex()))
                    above = span.parent_span_id.hex()
                    own = _own_id(trace, above) if above else home.span
                    span.parent_span_id = bytes.fromhex(own)
                    span.trace_id = bytes.fromhex(home.run)
                    span.attributes.extend(encode.attributes({names.FOREIGN_TRACE: trace}))
                    made.append(span)
        if made:
            async with call.tracking.writing(home) as book:
                payload = records.traces(book.owner, made, beside=True)
                await call.tracking.export(home.run, Signal.TRACES, payload)
    finally:
        body.release()
    return web.Response(body=b"", content_type="application/x-protobuf")
