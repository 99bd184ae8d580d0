"""MLflow's tracing: what is told of a trace is kept with its run, and its spans become the run's.

A client of any version tells about a trace by REST and hands its spans over as the file
``traces.json`` (see ``spans``).
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from spanbook_runfile import names
from spanbook_runfile.names import ChildStatus

from spanbook_collector.receivers.mlflow import (
    alone,
    experiments,
    fields,
    search,
    trace_search,
    views,
)
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.calls import Call, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError, missing
from spanbook_collector.receivers.mlflow.records import MS, Place
from spanbook_collector.receivers.mlflow.trace_search import SOURCE
from spanbook_collector.receivers.mlflow.tracking import ref_of
from spanbook_collector.receivers.mlflow.views import Ref, Told

FOLDER = "traces"  # of the spans' files, among the run's artifacts
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
    asked = trace_search.search(
        fields.text(call.body, "filter", ""), fields.texts(call.body, "order_by")
    )
    runs = [call.home.run] if call.home else list(call.tracking.ingest.runs.in_progress)
    told_of = [told for run in runs for told in await call.tracking.all_told(run)]
    found = {
        trace: about
        for told in [*told_of, *await experiments.runs_of(call, wanted)]
        for trace, about in told.logged.traces.items()
        if about.get("experiment") in wanted
    }
    every = asked(list(found.items()))
    most = fields.whole(call.body, "max_results", 100) or 100
    begin = search.offset(fields.text(call.body, "page_token", ""))
    more = begin + most < len(every)
    return every[begin : begin + most], {
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
    return {
        "request_id": trace,
        "experiment_id": told.get("experiment", "0"),
        "timestamp_ms": int(told.get("time", 0)),
        "execution_time_ms": trace_search.duration_ms(told),
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
