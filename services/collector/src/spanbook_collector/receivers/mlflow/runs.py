"""Runs: to begin, change, read and search them, and what is logged on them."""

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.names import ChildStatus, SpanType

from spanbook_collector.receivers.mlflow import alone, experiments, fields, records, search, views
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.calls import Call, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.fields import Point
from spanbook_collector.receivers.mlflow.records import MS, Place
from spanbook_collector.receivers.mlflow.tracking import ref_of
from spanbook_collector.receivers.mlflow.views import Ref, Told

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
_DONE = {ChildStatus.FINISHED, ChildStatus.FAILED, ChildStatus.KILLED}
_STATUSES = [*ChildStatus]  # MLflow's enum counts from 1: RUNNING, SCHEDULED, FINISHED, …


def ref(call: Call) -> Ref:
    """The run that a request is about.

    Raises:
        MlflowError: it names none.
    """
    run_id = fields.text(call.body, "run_id", "") or fields.text(call.body, "run_uuid", "")
    if not run_id:
        raise fields.lacking("run_id")
    return ref_of(run_id)


def _owned(call: Call) -> Ref:
    return call.mine(ref(call))


async def get(call: Call) -> Json:
    """``runs/get``."""
    return {"run": views.run_json(await call.tracking.told(ref(call)))}


async def create(call: Call) -> Json:
    """``runs/create``: in a task, or under a parent, a child; else a run of its own."""
    body = call.body
    tags = dict(_tags(fields.items(body, "tags"), "tags"))
    name = fields.text(body, "run_name", "") or tags.get(NAME, "")
    if tags.get(NAME) and fields.text(body, "run_name", "") not in ("", tags[NAME]):
        raise MlflowError(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
            f"values (run_name='{name}', mlflow.runName='{tags[NAME]}')."
        )
    name = fields.tag({"key": NAME, "value": name or experiments.random_name()})[1]
    user = fields.text(body, "user_id", "")
    start = fields.whole(body, "start_time", 0) * MS or time.time_ns()
    if start < 0:
        raise fields.invalid("start_time", body.get("start_time"), "it must not be negative")
    found = await experiments.known(call, fields.text(body, "experiment_id", "0"))
    if found.deleted:
        raise MlflowError(f"The experiment {found.id} must be in the 'active' state.")
    parent = await _parent(call, tags)
    if parent is None:
        made = await alone.begin(
            call.tracking,
            found.as_home(),
            name=name,
            user=user,
            start=start,
            status=ChildStatus.RUNNING,
            tags=tags,
        )
        return {"run": views.run_json(await call.tracking.told(made))}
    child = Ref(parent.run, secrets.token_hex(8))
    home = (await call.tracking.told(parent)).experiment.id

    def make(_book: Book, _: Place) -> Iterator[LogRecord]:
        place = Place(child.run, child.span)
        yield place.child(
            parent=parent.span,
            name=name,
            status=ChildStatus.RUNNING,
            start=start,
            user=user or None,
            experiment=None if found.id == home else found.name,
        )
        for key, value in {NAME: name, **tags}.items():
            yield place.tag(key, value)

    await call.tracking.write(parent, make, deleted_too=True)
    return {"run": views.run_json(await call.tracking.told(child))}


async def _parent(call: Call, tags: dict[str, str]) -> Ref | None:
    """What a new run is within: its parent by tag, else the attempt that its client runs in."""
    try:
        parent = ref_of(tags.get(PARENT, ""))
    except MlflowError:  # any text can stand in the tag
        return call.home
    return call.mine(parent) if call.tracking.in_progress(parent.run) else call.home


async def update(call: Call) -> Json:
    """``runs/update``: status, end and name."""
    owned, body = _owned(call), call.body
    status = _status(body.get("status"))
    end = fields.whole(body, "end_time", 0) * MS
    name = fields.text(body, "run_name", "")

    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        told: dict[str, object] = {}
        if status:
            told["status"] = status
            told["end"] = (end or time.time_ns()) if status in _DONE else 0
        elif end:
            told["end"] = end
        if told:
            yield place.child(**told)
        if name:
            yield place.tag(NAME, fields.tag({"key": NAME, "value": name})[1])

    await call.tracking.write(owned, make)
    told = await call.tracking.told(owned)
    if status in _DONE and told.parent is not None:
        await _end_span(call, told)
    return {"run_info": views.info_json(told)}


def _status(value: object) -> ChildStatus | None:
    if value in (None, ""):
        return None
    try:
        return _STATUSES[value - 1] if isinstance(value, int) else ChildStatus(str(value))
    except (ValueError, IndexError):
        raise fields.invalid(
            "status", value, f"it must be one of {', '.join(ChildStatus)}"
        ) from None


async def _end_span(call: Call, told: Told) -> None:
    """A child's span, at its end; should it go on and end again, the first stays."""
    assert told.parent is not None
    span: Span = encode.span(
        run_id=told.ref.run,
        span_id=told.ref.span,
        parent_id=told.parent.span,
        name=told.name,
        start=told.start,
        end=told.end or told.start,
        attrs={
            names.SPAN_TYPE: SpanType.CHILD,
            names.CHILD_STATUS: told.status,
            names.CHILD_EXPERIMENT: told.experiment.name,
        },
        error=None if told.status == ChildStatus.FINISHED else f"The run was {told.status}.",
    )
    async with call.tracking.writing(told.ref) as book:
        payload = records.traces(book.owner, [span], beside=not told.ref.alone)
        await call.tracking.export(told.ref.run, Signal.TRACES, payload)


async def delete(call: Call) -> Json:
    """``runs/delete``."""
    return await _lifecycle(call, "deleted")


async def restore(call: Call) -> Json:
    """``runs/restore``."""
    return await _lifecycle(call, "active")


async def _lifecycle(call: Call, stage: str) -> Json:
    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        yield place.child(lifecycle=stage)

    await call.tracking.write(_owned(call), make, deleted_too=True)
    return {}


# -- what is logged --------------------------------------------------------------------------


async def log_param(call: Call) -> Json:
    """``runs/log-parameter``."""
    owned, given = _owned(call), [fields.param(call.body)]
    await call.tracking.write(owned, lambda book, at: params(book, at, given))
    return {}


async def log_metric(call: Call) -> Json:
    """``runs/log-metric``."""
    owned, given = _owned(call), [fields.point(call.body)]
    await _mention(call, owned, given)
    await call.tracking.write(owned, lambda _, at: at.metrics(_timed(given)))
    return {}


async def _mention(call: Call, owned: Ref, points: list[Point]) -> None:
    """Points about models of other runs are found from there, too."""
    for model in {point.model for point in points if point.model}:
        if owned.run not in model:
            await call.tracking.mentions.keep(model, owned.run)


async def set_tag(call: Call) -> Json:
    """``runs/set-tag``."""
    owned, given = _owned(call), [fields.tag(call.body)]
    await call.tracking.write(owned, lambda book, at: tags(book, at, given))
    return {}


async def delete_tag(call: Call) -> Json:
    """``runs/delete-tag``."""
    key = fields.text(call.body, "key")
    owned = _owned(call)

    def make(book: Book, place: Place) -> Iterator[LogRecord]:
        if key not in book.decoder.logged(owned.span).tags:
            raise MlflowError(
                f"No tag with name: {key[:250]} in run with id {owned.id}",
                "RESOURCE_DOES_NOT_EXIST",
            )
        yield place.tag(key, None)

    await call.tracking.write(owned, make)
    return {}


async def log_batch(call: Call) -> Json:
    """``runs/log-batch``: all of it, or nothing."""
    owned, body = _owned(call), call.body
    metrics, given, tagged = (fields.items(body, key) for key in ("metrics", "params", "tags"))
    fields.at_most(metrics, "metrics", fields.MAX_METRICS)
    fields.at_most(given, "params", fields.MAX_PARAMS_OR_TAGS)
    fields.at_most(tagged, "tags", fields.MAX_PARAMS_OR_TAGS)
    fields.at_most([*metrics, *given, *tagged], "metrics, params, and tags", fields.MAX_ENTITIES)
    points = [fields.point(item, f"metrics[{n}].") for n, item in enumerate(metrics)]
    pairs = [fields.param(item, f"params[{n}].") for n, item in enumerate(given)]
    doubled = sorted({key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1})
    if doubled:
        raise MlflowError(
            f"Duplicate parameter keys have been submitted: {doubled}. Please ensure the request "
            "contains only one param value per param key."
        )
    labels = list(_tags(tagged, "tags"))

    def make(book: Book, place: Place) -> Iterator[LogRecord]:
        yield from params(book, place, pairs)
        yield from place.metrics(_timed(points))
        yield from tags(book, place, labels)

    await _mention(call, owned, points)
    await call.tracking.write(owned, make)
    return {}


def _tags(items: list[dict[str, Any]], path: str) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(items):
        yield fields.tag(item, f"{path}[{number}].")


def _timed(points: list[Point]) -> list[Point]:
    """Points without a time are of now."""
    if all(point.time for point in points):
        return points
    now = time.time_ns() // MS
    return [
        point if point.time else Point(point.key, point.value, now, *_rest(point))
        for point in points
    ]


def _rest(point: Point) -> tuple[int, str, str, str]:
    return point.step, point.model, point.dataset, point.digest


def params(book: Book, place: Place, given: Iterable[tuple[str, str]]) -> Iterator[LogRecord]:
    """Parameters that are new.

    Raises:
        MlflowError: MLflow logged one before, with another value.
    """
    changed = []
    new = []
    known = book.decoder.logged(place.span).parameters
    for key, value in given:
        before = book.params.get((place.span, key))
        if before is not None and before != value:
            changed.append({"key": key, "old_value": before, "new_value": value})
        elif before is None and (key not in known or views.param_text(known[key]) != value):
            new.append(place.parameter(key, value))
    if changed:
        raise MlflowError(
            f"Changing param values is not allowed. Params were already logged='{changed}' for run "
            f"ID='{Ref(place.run, place.span).id}'."
        )
    yield from new


def tags(book: Book, place: Place, given: Iterable[tuple[str, str]]) -> Iterator[LogRecord]:
    """Tags that are new or differ."""
    known = book.decoder.logged(place.span).tags
    for key, value in given:
        if known.get(key) != value:
            yield place.tag(key, value)


async def log_inputs(call: Call) -> Json:
    """``runs/log-inputs``: the datasets and the models that a run used."""
    given = [_dataset(item, n) for n, item in enumerate(fields.items(call.body, "datasets"))]
    fields.at_most(given, "datasets", 1000)
    models = [fields.text(item, "model_id") for item in fields.items(call.body, "models")]
    fields.at_most(models, "models", 1000)

    def make(_: Book, place: Place) -> Iterator[LogRecord]:
        for dataset in given:
            yield place.record(names.Event.DATASET, dataset)
        for model in models:
            yield place.record(names.Event.MODEL, {"input": True}, {names.KEY: model})

    await call.tracking.write(_owned(call), make)
    return {}


_DATASET_MOST = {
    "name": 500,
    "digest": 36,
    "source_type": 500,
    "source": 65_535,
    "schema": 1_048_575,
    "profile": 16_777_215,
}


def _dataset(item: Json, number: int) -> Json:
    dataset = item.get("dataset")
    if not isinstance(dataset, dict):
        raise fields.lacking(f"datasets[{number}].dataset")
    told = {}
    for key, most in _DATASET_MOST.items():
        value = fields.text(dataset, key, None if key in ("name", "digest") else "")
        if len(value) > most:
            raise MlflowError(
                f"datasets[{number}].dataset.{key} exceeds the maximum length of {most} characters"
            )
        told[key] = value
    labels = {}
    for label in fields.items(item, "tags"):
        key, value = fields.text(label, "key"), fields.text(label, "value", "")
        if len(key) > 255 or len(value) > 500:
            raise MlflowError(f"A tag of datasets[{number}] exceeds the maximum length")
        labels[key] = value
    return {**told, "tags": labels}


# -- what is read ----------------------------------------------------------------------------


async def metric_history(call: Call) -> Json:
    """``metrics/get-history``."""
    told = await call.tracking.told(ref(call))
    key = fields.text(call.body, "metric_key")
    most = min(fields.whole(call.body, "max_results", 25_000) or 25_000, 25_000)
    begin = search.offset(fields.text(call.body, "page_token", ""))
    metric = told.logged.metrics.get(key)
    points = sorted(views.points_of(metric), key=lambda p: (p[1], p[2])) if metric else []
    points = list(dict.fromkeys(points))
    page = points[begin : begin + most]
    answer: Json = {
        "metrics": [
            {
                "key": key,
                "value": fields.metadata_number(value),
                "timestamp": at,
                "step": step,
                "run_id": told.ref.id,
            }
            for value, at, step in page
        ]
    }
    if begin + most < len(points):
        answer["next_page_token"] = search.token(begin + most)
    return answer


async def find(call: Call) -> Json:
    """``runs/search``."""
    body = call.body
    wanted = fields.texts(body, "experiment_ids")
    stage = fields.text(body, "run_view_type", "ACTIVE_ONLY") or "ACTIVE_ONLY"
    asked = search.Query.parse(fields.text(body, "filter", ""), fields.texts(body, "order_by"))
    most = fields.whole(body, "max_results", 1000)
    if not 0 < most <= 50_000:
        raise fields.invalid("max_results", most, "it must be a positive integer, at most 50000")
    found = [
        told
        for told in await experiments.runs_of(call, wanted)
        if stage == "ALL" or told.deleted == (stage == "DELETED_ONLY")
    ]
    found = asked.answer(found)
    begin = search.offset(fields.text(body, "page_token", ""))
    answer: Json = {"runs": [views.run_json(told) for told in found[begin : begin + most]]}
    if begin + most < len(found):
        answer["next_page_token"] = search.token(begin + most)
    return answer
