"""Logged models (MLflow 3): their description, parameters, tags, metrics and files."""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from spanbook_runfile import names
from spanbook_runfile.model import LoggedModel, ModelPoint
from spanbook_runfile.names import ChildStatus

from spanbook_collector.receivers.mlflow import alone, experiments, fields, runs, search, views
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.calls import Call, Json, parsed
from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.records import MS, Place
from spanbook_collector.receivers.mlflow.tracking import ref_of
from spanbook_collector.receivers.mlflow.views import Ref, Told

_ID = re.compile(r"m-([0-9a-f]{32})([0-9a-f]{16})[0-9a-f]{8}")
_FOR_MODEL = "spanbook.model"  # a tag of runs that were made for a model
_STATUSES = {
    "LOGGED_MODEL_PENDING": "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY": "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "LOGGED_MODEL_UPLOAD_FAILED",
    1: "LOGGED_MODEL_PENDING",
    2: "LOGGED_MODEL_READY",
    3: "LOGGED_MODEL_UPLOAD_FAILED",
}


def _now() -> int:
    return time.time_ns() // MS


async def find(call: Call, model: str) -> tuple[Told, LoggedModel]:
    """A logged model, and the run that it is of.

    Raises:
        MlflowError: there is none.
    """
    match = _ID.fullmatch(model)
    if match:
        told = await call.tracking.told(Ref(*match.groups()))
        for found in told.logged.models:
            if found.id == model and not found.deleted:
                return told, found
    raise MlflowError(f"Logged model with ID '{model[:100]}' not found.", "RESOURCE_DOES_NOT_EXIST")


async def create(call: Call) -> Json:
    """``POST logged-models``."""
    body = call.body
    source = fields.text(body, "source_run_id", "")
    name = fields.text(body, "name", "") or experiments.random_name()
    if re.search(r"[/:.%\"']", name) or len(name) > 250:
        raise MlflowError(
            f"Invalid model name ({name[:100]}) provided. Model name must be a non-empty string and "
            "cannot contain the following characters: ('/', ':', '.', '%', '\"', \"'\")"
        )
    params, tags = _pairs(body, "params"), _pairs(body, "tags")
    ref = call.mine(ref_of(source)) if source else call.home or await _run_for(call, name)
    model = f"m-{ref.run}{ref.span}{secrets.token_hex(4)}"

    def make(book: Book, place: Place) -> Iterator[LogRecord]:
        taken = {m.folder for m in book.decoder.logged(ref.span).recorded()["models"]}
        folder, number = name, 1
        while folder in taken:
            number += 1
            folder = f"{name}-{number}"
        now = _now()
        yield _record(
            place,
            model,
            {
                "name": name,
                "folder": folder,
                "type": fields.text(body, "model_type", ""),
                "status": "LOGGED_MODEL_PENDING",
                "created": now,
                "updated": now,
                "params": params,
                "tags": tags,
            },
        )

    await call.tracking.write(ref, make)
    return await _json(call, model)


async def _run_for(call: Call, name: str) -> Ref:
    """A run for a model that is logged without one: it is kept with it, and ended when it is ready."""
    found = await experiments.known(call, fields.text(call.body, "experiment_id", "0"))
    return await alone.begin(
        call.tracking,
        found.as_home(),
        name=name,
        user="",
        start=time.time_ns(),
        status=ChildStatus.RUNNING,
        tags={_FOR_MODEL: name},
    )


def _pairs(body: Json, key: str) -> dict[str, str]:
    check = fields.param if key == "params" else fields.tag
    return dict(check(item, f"{key}[{n}].") for n, item in enumerate(fields.items(body, key)))


def _record(place: Place, model: str, told: Mapping[str, object]) -> LogRecord:
    return place.record(names.Event.MODEL, dict(told), {names.KEY: model})


async def _json(call: Call, model: str) -> Json:
    told, found = await find(call, model)
    return {"model": views.model_json(told, found, await _measured(call, told, model))}


async def _measured(call: Call, told: Told, model: str) -> list[tuple[Ref, ModelPoint]]:
    """What runs measured of a model: its own, those of its pipeline run, and those that named it."""
    runs = dict.fromkeys([told.ref.run, *call.tracking.mentions.of(model)])
    return [
        (each.ref, point)
        for run in runs
        for each in await call.tracking.all_told(run)
        for point in each.about(model)
    ]


async def _change(call: Call, told: Mapping[str, object]) -> Json:
    model = call.path["model"]
    run, _ = await find(call, model)

    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        yield _record(place, model, {**told, "updated": _now()})

    await call.tracking.write(call.mine(run.ref), make)
    return {}


async def get(call: Call) -> Json:
    """``GET logged-models/MODEL``."""
    return await _json(call, call.path["model"])


async def finalize(call: Call) -> Json:
    """``PATCH logged-models/MODEL``: its status."""
    given = call.body.get("status", "")
    status = _STATUSES.get(given) if isinstance(given, str | int) else None
    if status is None:
        raise fields.invalid("status", call.body.get("status"), "it is no status of a logged model")
    await _change(call, {"status": status})
    told, _ = await find(call, call.path["model"])
    if _FOR_MODEL in told.tags and status != "LOGGED_MODEL_PENDING":
        ready = status == "LOGGED_MODEL_READY"
        ended = ChildStatus.FINISHED if ready else ChildStatus.FAILED
        await call.tracking.write(
            told.ref, lambda _, place: [place.child(status=ended, end=time.time_ns())]
        )
    return await _json(call, call.path["model"])


async def delete(call: Call) -> Json:
    """``DELETE logged-models/MODEL``."""
    return await _change(call, {"deleted": True})


async def set_tags(call: Call) -> Json:
    """``PATCH logged-models/MODEL/tags``."""
    await _change(call, {"tags": _pairs(call.body, "tags")})
    return await _json(call, call.path["model"])


async def delete_tag(call: Call) -> Json:
    """``DELETE logged-models/MODEL/tags/KEY``."""
    _, found = await find(call, call.path["model"])
    key = call.path["key"]
    if key not in found.tags:
        raise MlflowError(
            f"No tag with key {key[:250]!r} found for model with ID {found.id!r}.",
            "RESOURCE_DOES_NOT_EXIST",
        )
    return await _change(call, {"tags": {key: None}})


async def log_params(call: Call) -> Json:
    """``POST logged-models/MODEL/params``."""
    return await _change(call, {"params": _pairs(call.body, "params")})


async def search_models(call: Call) -> Json:
    """``POST logged-models/search``."""
    body = call.body
    found = []
    points: dict[str, list[tuple[Ref, ModelPoint]]] = {}
    datasets = [
        (fields.text(item, "dataset_name"), fields.text(item, "dataset_digest", ""))
        for item in fields.items(body, "datasets")
    ]
    for told in await experiments.runs_of(call, fields.texts(body, "experiment_ids")):
        for model in told.logged.models:
            if model.deleted:
                continue
            all_of = points[model.id] = await _measured(call, told, model.id)
            metrics = tuple(p for _, p in all_of if not datasets or _is_of(p, datasets))
            if metrics or not datasets:
                found.append((told, replace(model, metrics=metrics)))
    asked = search.models(fields.text(body, "filter", ""), fields.items(body, "order_by"))
    found = asked(found)
    most = fields.whole(body, "max_results", 100) or 100
    begin = search.offset(fields.text(body, "page_token", ""))
    page = found[begin : begin + most]
    answer: Json = {"models": [views.model_json(*each, points[each[1].id]) for each in page]}
    if begin + most < len(found):
        answer["next_page_token"] = search.token(begin + most)
    return answer


def _is_of(point: ModelPoint, datasets: list[tuple[str, str]]) -> bool:
    *_, name, digest = point
    return any(name == wanted and of in ("", digest) for wanted, of in datasets)


async def log_outputs(call: Call) -> Json:
    """``runs/outputs``: the models that a run made, and at which step."""
    ref = call.mine(runs.ref(call))
    given = [
        (fields.text(item, "model_id"), fields.whole(item, "step", 0))
        for item in fields.items(call.body, "models")
    ]
    own = {model.id for model in (await call.tracking.told(ref)).logged.models}

    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        for model, step in given:
            yield _record(place, model, {"step" if model in own else "output": step})

    await call.tracking.write(ref, make)
    return {}


async def log_model(call: Call) -> Json:
    """``runs/log-model`` of MLflow 2: the models' history is a tag of the run."""
    ref = call.mine(runs.ref(call))
    told = fields.text(call.body, "model_json")
    model = parsed(told.encode())
    lacking = {"artifact_path", "flavors", "utc_time_created", "run_id"} - model.keys()
    if lacking:
        raise MlflowError(f"Model json is missing mandatory fields: {sorted(lacking)}.")
    if not isinstance(model["flavors"], dict):
        raise fields.invalid("model_json.flavors", model["flavors"], "it must be an object")
    kept = {
        key: model[key]
        for key in ("run_id", "artifact_path", "utc_time_created", "flavors", "model_uuid")
        if key in model
    }
    kept["flavors"] = {
        name: {k: v for k, v in flavor.items() if k != "code"} if isinstance(flavor, dict) else {}
        for name, flavor in dict(kept["flavors"]).items()
    }
    key = "mlflow.log-model.history"

    def make(book: Book, place: Place) -> Iterator[LogRecord]:
        before = json.loads(book.decoder.logged(ref.span).tags.get(key, "[]"))
        yield place.tag(key, json.dumps([*before, kept]))

    await call.tracking.write(ref, make)
    return {}
