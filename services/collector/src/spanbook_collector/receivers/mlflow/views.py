"""MLflow runs as they stand, of a run in progress or a sealed one, and as MLflow's JSON."""

import hashlib
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from spanbook_runfile import Run
from spanbook_runfile.mlflow import ALONE, experiment_id, run_id
from spanbook_runfile.model import (
    Attempt,
    Child,
    Dataset,
    Json,
    LoggedModel,
    Metric,
    ModelPoint,
    Recorded,
)
from spanbook_runfile.names import (
    ACTOR,
    CHILD_END,
    CHILD_STATUS,
    CHILD_USER,
    Result,
)
from spanbook_runfile.values import text_of, time_of

from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.fields import metadata_number
from spanbook_collector.receivers.mlflow.records import MS

DEFAULT = "Default"
_STATUS = {
    None: "RUNNING",
    Result.SUCCESS: "FINISHED",
    Result.SKIP: "FINISHED",
    Result.CANCELLATION: "KILLED",
}


@dataclass(frozen=True, slots=True)
class Ref:
    """An MLflow run: a span of a run."""

    run: str
    span: str

    @property
    def id(self) -> str:
        """MLflow's run id."""
        return run_id(self.run, self.span)

    @property
    def alone(self) -> bool:
        """Whether MLflow made the run, outside a pipeline."""
        return self.run.startswith(ALONE)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Where an MLflow run belongs."""

    id: str
    name: str

    @property
    def prefix(self) -> str:
        """How the ids of its runs outside a pipeline begin."""
        return ALONE + hashlib.sha256(self.id.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Told:
    """One MLflow run; times in ns."""

    ref: Ref
    experiment: Experiment
    name: str
    status: str
    user: str
    start: int
    end: int | None
    logged: Recorded
    parent: Ref | None = None
    deleted: bool = False
    sealed: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, with those that MLflow expects of every run."""
        own = {"mlflow.runName": self.name}
        if self.parent:
            own["mlflow.parentRunId"] = self.parent.id
        return {**own, **self.logged.tags}

    def about(self, model: str) -> Iterator[ModelPoint]:
        """What it measured of a logged model, its own or another run's."""
        own = ((found.id, found.metrics) for found in self.logged.models)
        others = ((use.id, use.metrics) for use in self.logged.model_uses)
        for of, points in (*own, *others):
            if of == model:
                yield from points

    @property
    def params(self) -> dict[str, str]:
        """Its parameters as text."""
        return {key: param_text(value) for key, value in self.logged.parameters.items()}

    @property
    def metrics(self) -> dict[str, tuple[float, int, int]]:
        """The latest point of each metric: value, ms, step."""
        return {key: latest(metric) for key, metric in self.logged.metrics.items()}


def named(name: str) -> Experiment:
    """The experiment that a script gave this name."""
    return Experiment("0" if name == DEFAULT else experiment_id(name, name), name)


def of_task(pipeline: str, task: str, alias: str = "") -> Experiment:
    """A task's experiment; ``alias`` is what its code calls it."""
    return Experiment(experiment_id(pipeline, task), alias or f"{pipeline}/{task}")


def _home(run: str, pipeline: str, task: str, alias: str) -> Experiment:
    return named(pipeline) if run.startswith(ALONE) else of_task(pipeline, task, alias)


def of_book(book: Book, span: str) -> Told | None:
    """An MLflow run of a run in progress."""
    ref = Ref(book.id, span)
    child = book.decoder.child(span)
    if child is not None:
        owner = child
        while (above := book.decoder.child(owner.parent)) is not None:
            owner = above
        home = _of_attempt(book, owner.parent)
        return _of_child(ref, child, home.experiment) if home else None
    return _of_attempt(book, span)


def _of_attempt(book: Book, span: str) -> Told | None:
    found = book.decoder.attempt(span)
    if found is None:
        return None
    task, attempt = found
    told = book.decoder.told(span)
    name = book.decoder.task_name(task)
    home = _home(
        book.id,
        text_of(book.resource.get("cicd.pipeline.name")),
        name,
        text_of(told.get("spanbook.child.experiment")),
    )
    logged = Recorded(**book.decoder.logged(span).recorded())
    return Told(
        ref=Ref(book.id, span),
        experiment=home,
        name=logged.tags.get("mlflow.runName") or f"{name} {book.id[:7]}",
        status=_stands(text_of(told.get(CHILD_STATUS)), attempt.result),
        user=text_of(told.get(CHILD_USER)) or logged.tags.get("mlflow.user", ""),
        start=attempt.running or attempt.start or 0,
        end=time_of(told.get(CHILD_END)) or attempt.end,
        logged=logged,
        deleted=attempt.deleted,
    )


def _stands(told: str, result: Result | None) -> str:
    """What the client said last, unless the attempt is over and it said nothing of an end."""
    over = result is not None and told in ("", "RUNNING", "SCHEDULED")
    return _status(result) if over or not told else told


def _status(result: Result | None) -> str:
    return _STATUS.get(result, "FAILED")


def _of_child(ref: Ref, child: Child, home: Experiment, *, sealed: bool = False) -> Told:
    ended = sealed and child.end is None
    return Told(
        ref=ref,
        experiment=named(child.experiment) if child.experiment else home,
        name=child.tags.get("mlflow.runName") or child.name,
        status="KILLED" if ended else child.status,
        user=child.user,
        start=child.start or 0,
        end=child.end,
        logged=child,
        parent=Ref(ref.run, child.parent),
        deleted=child.deleted,
        sealed=sealed,
    )


def all_of_book(book: Book) -> Iterator[Told]:
    """Every MLflow run of a run in progress."""
    for span in (*book.decoder.attempt_ids, *book.decoder.child_ids):
        if told := of_book(book, span):
            yield told


def all_of_run(run: Run) -> Iterator[Told]:
    """Every MLflow run of a sealed run."""
    for task in run.tasks:
        for attempt in task.attempts:
            home = _home(run.id, run.pipeline, task.name, attempt.experiment)
            yield _sealed_attempt(run, task.name, attempt, home)
            for child in attempt.children:
                yield _of_child(Ref(run.id, child.id), child, home, sealed=True)


def _sealed_attempt(run: Run, task: str, attempt: Attempt, home: Experiment) -> Told:
    return Told(
        ref=Ref(run.id, attempt.id),
        experiment=home,
        name=attempt.tags.get("mlflow.runName") or f"{task} {run.id[:7]}",
        status="KILLED" if attempt.result is None else _status(attempt.result),
        user=attempt.tags.get("mlflow.user") or run.context(ACTOR),
        start=attempt.running or attempt.start or 0,
        end=attempt.end,
        logged=attempt,
        deleted=attempt.deleted,
        sealed=True,
    )


# -- as JSON ---------------------------------------------------------------------------------


def param_text(value: Json) -> str:
    """A parameter as MLflow's client writes it: Python's ``str``; lists and mappings as JSON."""
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return str(value)


def latest(metric: Metric) -> tuple[float, int, int]:
    """The point that MLflow shows: of the highest step, then time, then value, with NaN as a zero."""

    def order(point: tuple[float, int, int]) -> tuple[int, int, float]:
        value, time, step = point
        return step, time, 0.0 if math.isnan(value) else value

    return max(points_of(metric), key=order)


def points_of(metric: Metric) -> Iterator[tuple[float, int, int]]:
    """A metric's points: value, ms, step; an infinity is the largest float, as MLflow keeps it."""
    for value, time, step in zip(metric.values, metric.times, metric.steps, strict=True):
        finite = math.copysign(sys.float_info.max, value) if math.isinf(value) else value
        yield finite, time // MS, step or 0


def info_json(told: Told) -> dict[str, Any]:
    """A run's head."""
    return {
        "run_id": told.ref.id,
        "run_uuid": told.ref.id,
        "run_name": told.name,
        "experiment_id": told.experiment.id,
        "user_id": told.user,
        "status": told.status,
        "start_time": told.start // MS,
        **({"end_time": told.end // MS} if told.end else {}),
        "artifact_uri": artifact_uri(told),
        "lifecycle_stage": "deleted" if told.deleted else "active",
    }


def artifact_uri(told: Told) -> str:
    """Where a run's artifacts are, for MLflow's client."""
    return f"mlflow-artifacts:/{told.experiment.id}/{told.ref.id}/artifacts"


def run_json(told: Told) -> dict[str, Any]:
    """A whole run."""
    return {
        "info": info_json(told),
        "data": {
            "metrics": [
                {"key": key, "value": metadata_number(value), "timestamp": time, "step": step}
                for key, (value, time, step) in told.metrics.items()
            ],
            "params": [{"key": key, "value": value} for key, value in told.params.items()],
            "tags": [{"key": key, "value": value} for key, value in told.tags.items()],
        },
        "inputs": {
            "dataset_inputs": [_input(dataset) for dataset in told.logged.datasets],
            "model_inputs": [{"model_id": use.id} for use in told.logged.model_uses if use.input],
        },
        "outputs": {"model_outputs": [{"model_id": i, "step": s} for i, s in _outputs(told)]},
    }


def _outputs(told: Told) -> Iterator[tuple[str, int]]:
    for model in told.logged.models:
        if not model.deleted:
            yield model.id, model.step
    for use in told.logged.model_uses:
        if use.step is not None:
            yield use.id, use.step


def _input(dataset: Dataset) -> dict[str, Any]:
    return {
        "tags": [{"key": key, "value": value} for key, value in dataset.tags.items()],
        "dataset": {
            "name": dataset.name,
            "digest": dataset.digest,
            "source_type": dataset.source_type,
            "source": dataset.source,
            "schema": dataset.schema,
            "profile": dataset.profile,
        },
    }


def model_json(
    told: Told, model: LoggedModel, points: Iterable[tuple[Ref, ModelPoint]]
) -> dict[str, Any]:
    """A logged model, its run, and what runs measured of it."""
    return {
        "info": {
            "model_id": model.id,
            "experiment_id": told.experiment.id,
            "name": model.name,
            "creation_timestamp_ms": model.created,
            "last_updated_timestamp_ms": model.updated,
            "artifact_uri": f"mlflow-artifacts:/{told.experiment.id}/models/{model.id}/artifacts",
            "status": model.status,
            "model_type": model.type,
            "source_run_id": told.ref.id,
            "tags": [{"key": key, "value": value} for key, value in model.tags.items()],
        },
        "data": {
            "params": [{"key": key, "value": value} for key, value in model.params.items()],
            "metrics": [
                {
                    "key": key,
                    "value": metadata_number(value),
                    "timestamp": time // MS,
                    "step": step,
                    "dataset_name": dataset,
                    "dataset_digest": digest,
                    "model_id": model.id,
                    "run_id": of.id,
                }
                for of, (key, value, step, time, dataset, digest) in points
            ],
        },
    }
