"""MLflow's tracing: what is told of a trace is kept with its run, and its spans become the run's.

A client of any version tells about a trace by REST and hands its spans over as the file
``traces.json``; spans by OTLP come to ``v1/traces`` below the tracking address.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.names import ChildStatus

from spanbook_collector.receivers.http import Body
from spanbook_collector.receivers.mlflow import alone, experiments, fields, records, search, views
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.calls import Call, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError, missing
from spanbook_collector.receivers.mlflow.records import MS, Place
from spanbook_collector.receivers.mlflow.tracking import Tracking, ref_of
from spanbook_collector.receivers.mlflow.views import Ref, Told

FOLDER = "traces"  # of the spans' files, among the run's artifacts
SOURCE = "mlflow.sourceRun"
LOCATION = "mlflow.artifactLocation"
_V2_STATES = {"STATE_UNSPECIFIED": "TRACE_STATUS_UNSPECIFIED"}


def folder(trace: str) -> str:
    """Where a trace's files lie."""
    return f"{FOLDER}/{trace}"


async def _find(call: Call, trace: str) -> tuple[Told, Mapping[str, Any]]:
    """The run that a trace was made in, and what is told of it.

    Raises:
        MlflowError: there is none.
    """
    tracking = call.tracking
    runs = [call.home.run] if call.home else list(tracking.ingest.runs.in_progress)
    if known := tracking.traces.get(trace):
        runs = [known, *runs]
    for run in runs:
        for told in await tracking.all_told(run):
            if trace in told.logged.traces:
                return told, told.logged.traces[trace]
    raise MlflowError(f"Trace with ID '{trace[:100]}' not found.", "RESOURCE_DOES_NOT_EXIST")


async def owner(call: Call, trace: str) -> Ref:
    """The run that a trace was made in."""
    return (await _find(call, trace))[0].ref


async def _keep(call: Call, trace: str, metadata: Mapping[str, str], told: Json) -> None:
    """Keep what is told of a trace with its run: the one named, the attempt, or one of its own."""
    source = str(metadata.get(SOURCE, ""))
    own = None
    if source and call.tracking.in_progress(ref_of(source).run):
        ref = call.mine(ref_of(source))
    elif call.home:
        ref = call.home
    else:
        found = await experiments.known(call, str(told.get("experiment", "0")))
        ref = own = await alone.begin(
            call.tracking,
            views.Experiment(found.id, found.name),
            name=str(told.get("name") or trace),
            user="",
            start=int(told.get("time", 0)) * MS or time.time_ns(),
            status=ChildStatus.RUNNING,
            tags={},
        )
    if len(call.tracking.traces) > 10_000:
        call.tracking.traces.clear()
    call.tracking.traces[trace] = ref.run

    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        yield place.record(names.Event.TRACE, told, {names.KEY: trace})
        if own:  # nobody will end it
            yield place.child(status=ChildStatus.FINISHED, end=time.time_ns())

    await call.tracking.write(ref, make)


async def _more(call: Call, trace: str, told: Json) -> None:
    run, _ = await _find(call, trace)
    ref = call.mine(run.ref)
    await call.tracking.write(
        ref, lambda _, place: [place.record(names.Event.TRACE, told, {names.KEY: trace})]
    )


def _trace_id(value: str) -> str:
    if not value or len(value) > 100 or not value.replace("-", "").replace("_", "").isalnum():
        raise fields.invalid("trace_id", value, "it must be letters and digits")
    return value


# -- version 3 -------------------------------------------------------------------------------


async def start_v3(call: Call) -> Json:
    """``POST 3.0 traces``: sent when a trace has ended."""
    trace = call.body.get("trace")
    info = trace.get("trace_info") if isinstance(trace, dict) else None
    if not isinstance(info, dict):
        raise fields.lacking("trace.trace_info")
    trace_id = _trace_id(fields.text(info, "trace_id"))
    metadata = _mapping(info, "trace_metadata")
    location = info.get("trace_location")
    place = location.get("mlflow_experiment") if isinstance(location, dict) else None
    experiment = str(place.get("experiment_id", "0")) if isinstance(place, dict) else "0"
    known = await experiments.known(call, experiment)
    tags = _mapping(info, "tags")
    tags[LOCATION] = f"mlflow-artifacts:/{known.id}/traces/{trace_id}/artifacts"
    told = {
        "experiment": known.id,
        "time": _moment(info.get("request_time")),
        "name": tags.get("mlflow.traceName", ""),
        "duration": fields.text(info, "execution_duration", ""),
        "state": fields.text(info, "state", "OK"),
        "request": fields.text(info, "request_preview", ""),
        "response": fields.text(info, "response_preview", ""),
        "client": fields.text(info, "client_request_id", ""),
        "metadata": metadata,
        "tags": tags,
    }
    await _keep(call, trace_id, metadata, told)
    return {"trace": {"trace_info": _v3(trace_id, told)}}


def _mapping(body: Mapping[str, Any], key: str) -> dict[str, str]:
    value = body.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise fields.invalid(key, value, "it must map names to strings")
    return dict(value)


def _moment(value: object) -> int:
    """RFC 3339 as ms."""
    try:
        return int(datetime.fromisoformat(str(value)).timestamp() * 1000)
    except ValueError:
        return time.time_ns() // MS


def _shown(ms: int) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _v3(trace: str, told: Mapping[str, Any]) -> Json:
    return {
        "trace_id": trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": told.get("experiment", "0")},
        },
        "request_preview": told.get("request", ""),
        "response_preview": told.get("response", ""),
        "request_time": _shown(int(told.get("time", 0))),
        "execution_duration": told.get("duration") or "0s",
        "state": told.get("state", "OK"),
        **({"client_request_id": told["client"]} if told.get("client") else {}),
        "trace_metadata": told.get("metadata") or {},
        "tags": _live(told),
    }


def _live(told: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in (told.get("tags") or {}).items() if value is not None}


async def get_v3(call: Call) -> Json:
    """``GET 3.0 traces/TRACE``."""
    _, told = await _find(call, call.path["trace"])
    return {"trace": {"trace_info": _v3(call.path["trace"], told)}}


async def search_v3(call: Call) -> Json:
    """``POST 3.0 traces/search``."""
    wanted = []
    for location in fields.items(call.body, "locations"):
        place = location.get("mlflow_experiment")
        wanted.append(str(place.get("experiment_id", "")) if isinstance(place, dict) else "")
    found, after = await _search(call, wanted)
    return {"traces": [_v3(trace, told) for trace, told in found], **after}


async def _search(
    call: Call, wanted: list[str]
) -> tuple[list[tuple[str, Mapping[str, Any]]], Json]:
    if fields.text(call.body, "filter", ""):
        raise MlflowError(
            "Traces are searched without a filter here: they lie in the run that made them.",
            "NOT_IMPLEMENTED",
        )
    runs = [call.home.run] if call.home else list(call.tracking.ingest.runs.in_progress)
    told_of = [told for run in runs for told in await call.tracking.all_told(run)]
    found = {
        trace: about
        for told in [*told_of, *await experiments.runs_of(call, wanted)]
        for trace, about in told.logged.traces.items()
        if about.get("experiment") in wanted
    }
    newest = sorted(found.items(), key=lambda pair: int(str(pair[1].get("time", 0))), reverse=True)
    most = fields.whole(call.body, "max_results", 100) or 100
    begin = search.offset(fields.text(call.body, "page_token", ""))
    more = begin + most < len(newest)
    return newest[begin : begin + most], {
        "next_page_token": search.token(begin + most)
    } if more else {}


# -- version 2 -------------------------------------------------------------------------------


async def start_v2(call: Call) -> Json:
    """``POST 2.0 traces``: a trace begins."""
    body = call.body
    known = await experiments.known(call, fields.text(body, "experiment_id", "0"))
    trace = f"tr-{secrets.token_hex(16)}"
    metadata = _listed(body, "request_metadata")
    tags = _listed(body, "tags")
    tags[LOCATION] = f"mlflow-artifacts:/{known.id}/traces/{trace}/artifacts"
    told = {
        "experiment": known.id,
        "time": fields.whole(body, "timestamp_ms", 0),
        "name": tags.get("mlflow.traceName", ""),
        "state": "IN_PROGRESS",
        "metadata": metadata,
        "tags": tags,
    }
    await _keep(call, trace, metadata, told)
    return {"trace_info": _v2(trace, told)}


async def end_v2(call: Call) -> Json:
    """``PATCH 2.0 traces/TRACE``: a trace ended."""
    body, trace = call.body, call.path["trace"]
    _, told = await _find(call, trace)
    end = fields.whole(body, "timestamp_ms", 0)
    status = body.get("status", "OK")
    new = {
        "duration": f"{max(0, end - int(told.get('time', 0))) / 1000:g}s",
        "state": {1: "OK", 2: "ERROR", 3: "IN_PROGRESS"}.get(status, status),
        "metadata": {**(told.get("metadata") or {}), **_listed(body, "request_metadata")},
        "tags": {**_live(told), **_listed(body, "tags")},
    }
    await _more(call, trace, new)
    return {"trace_info": _v2(trace, {**told, **new})}


def _listed(body: Json, key: str) -> dict[str, str]:
    return {
        fields.text(item, "key"): fields.text(item, "value", "") for item in fields.items(body, key)
    }


def _v2(trace: str, told: Mapping[str, Any]) -> Json:
    duration = str(told.get("duration") or "0s").removesuffix("s")
    return {
        "request_id": trace,
        "experiment_id": told.get("experiment", "0"),
        "timestamp_ms": int(told.get("time", 0)),
        "execution_time_ms": int(float(duration) * 1000),
        "status": _V2_STATES.get(str(told.get("state")), told.get("state")),
        "request_metadata": _pairs(told.get("metadata") or {}),
        "tags": _pairs(_live(told)),
    }


def _pairs(texts: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in texts.items()]


async def get_v2(call: Call) -> Json:
    """``GET 2.0 traces/TRACE/info``."""
    _, told = await _find(call, call.path["trace"])
    return {"trace_info": _v2(call.path["trace"], told)}


async def search_v2(call: Call) -> Json:
    """``GET 2.0 traces``."""
    found, after = await _search(call, fields.texts(call.body, "experiment_ids"))
    return {"traces": [_v2(trace, told) for trace, told in found], **after}


async def set_tag(call: Call) -> Json:
    """``PATCH traces/TRACE/tags``."""
    trace = call.path["trace"]
    _, told = await _find(call, trace)
    key, value = fields.text(call.body, "key"), fields.text(call.body, "value", "")
    if len(key) > 250 or len(value) > 8000:
        raise MlflowError("A trace's tag exceeds the maximum length: 250 and 8000 characters.")
    await _more(call, trace, {"tags": {**_live(told), key: value}})
    return {}


async def delete_tag(call: Call) -> Json:
    """``DELETE traces/TRACE/tags``."""
    trace = call.path["trace"]
    _, told = await _find(call, trace)
    key = fields.text(call.body, "key")
    if key not in _live(told):
        raise missing("Tag", key)
    await _more(call, trace, {"tags": {k: v for k, v in _live(told).items() if k != key}})
    return {}


# -- spans -----------------------------------------------------------------------------------


async def add_spans(tracking: Tracking, ref: Ref, content: bytes) -> None:
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


async def otlp(call: Call) -> web.StreamResponse:
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
