"""A run file as MLflow runs: the pipeline run, and each task run as its child.

A task is an experiment, a task run (the attempt that counted) is a run of it, and the pipeline runs
are runs of the experiment :data:`ALL`. Limits and formats follow MLflow's SQL store, so that the
page shows what a server would that had been sent the same.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from spanbook_runfile import Attempt, Metric, Run, Task, UsageSample, names
from spanbook_runfile.mlflow import (
    ALONE,
    MAX_KEY,
    MAX_PARAM,
    MAX_TAG,
    experiment_id,
    run_id,
)
from spanbook_runfile.model import Child, Json, Recorded
from spanbook_runfile.names import Result, TaskType

from spanbook_site.mlflow.forms import finite, ms, value_json
from spanbook_site.mlflow.modelled import Measured, Row, inputs, measured, models
from spanbook_site.mlflow.urls import ALL, run_page, task_run_page

MAX_KEYS = 2_000  # names of one kind in one run; what is beyond is on our own pages
SYSTEM = "system/"  # metrics that MLflow's page shows apart

Point: TypeAlias = tuple[int, int, float]  # step, milliseconds since the epoch, value

_STATUS = {
    Result.SUCCESS: "FINISHED",
    Result.SKIP: "FINISHED",
    Result.CANCELLATION: "KILLED",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One MLflow run; ``histories`` holds every point of each metric, in MLflow's order."""

    id: str
    experiment: str
    experiment_name: str
    name: str
    status: str
    user: str
    start: int  # milliseconds since the epoch
    end: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    histories: Mapping[str, list[Point]] = field(default_factory=dict)
    artifacts: tuple[tuple[str, int, str], ...] = ()  # path, bytes, address in the site
    lifecycle: str = "active"
    page: str = ""  # our own page of it
    inputs: Row = field(default_factory=dict)  # datasets, in MLflow's form
    models: tuple[Row, ...] = ()  # logged models, in MLflow's form, each with its ``folder``

    @property
    def metrics(self) -> dict[str, Point]:
        """The latest point of each metric: that of the highest step, then time, then value."""
        return {key: max(points, key=_latest) for key, points in self.histories.items()}

    def row(self) -> Row:
        """The record as the data files hold it."""
        row: Row = {
            "id": self.id,
            "experiment": self.experiment,
            "name": self.name,
            "status": self.status,
            "user": self.user,
            "start": self.start,
            "end": self.end,
            "params": dict(self.params),
            "tags": dict(self.tags),
            "metrics": {key: [value_json(v), s, t] for key, (s, t, v) in self.metrics.items()},
        }
        if self.lifecycle != "active":
            row["lifecycle"] = self.lifecycle
        if self.page:
            row["page"] = self.page
        if self.inputs:
            row["inputs"] = self.inputs
        if self.models:
            row["models"] = list(self.models)
        return row


def records_of(run: Run, files: Mapping[str, Mapping[str, str]]) -> Iterator[Record]:
    """The pipeline run's record, then one for each task that was tried.

    ``files`` maps a task's id ("" for the run itself) to its artifacts' addresses by path.
    """
    if run.foreign:
        return
    start = ms(run.start) or 0
    yield Record(
        id=run.id,
        experiment=ALL,
        experiment_name="All pipeline runs",
        name=_cut(f"{run.pipeline} {run.id[:7]}", MAX_KEY),
        status=_run_status(run),
        user=_cut(run.context(names.ACTOR), 256),
        start=start,
        end=ms(run.end),
        params=_params(run.parameters),
        tags=_tags(run, run.tags, _source(run, None), run_page(run.id), name=""),
        histories=_histories(run, start),
        artifacts=_artifacts(run, files.get("", {})),
    )
    points = measured(run)
    for task in run.tasks:
        if task.final is not None:
            held = files.get(task.id, {})
            own = _task_record(run, task, task.final, held, points)
            yield own
            for child in task.final.children:
                yield _child_record(run, task, own, child, held, points)


def _task_record(
    run: Run, task: Task, final: Attempt, files: Mapping[str, str], points: Measured
) -> Record:
    start = ms(final.began or task.start or run.start) or 0
    page = task_run_page(run.id, task.id)
    name = _cut(f"{task.title} {run.id[:7]}", MAX_KEY)
    own = {
        "mlflow.parentRunId": run.id,
        **_tags(run, final.tags, _source(run, task), page, name=name),
    }
    if len(task.attempts) > 1:
        own["spanbook.attempts"] = str(len(task.attempts))
    named = run.pipeline if run.id.startswith(ALONE) else f"{run.pipeline}/{task.name}"
    own_id, experiment = run_id(run.id, final.id), experiment_id(run.pipeline, task.name)
    return Record(
        id=own_id,
        experiment=experiment,
        experiment_name=_cut(named, 256),
        name=own["mlflow.runName"],
        status=_status(final.result if final.result is not None else task.result, run),
        user=_cut(run.context(names.ACTOR), 256),
        start=start,
        end=ms(final.end),
        params=_params(final.parameters),
        tags=own,
        histories={**_usage(final.usage), **_histories(final, start)},
        artifacts=_artifacts(final, files),
        lifecycle="deleted" if final.deleted else "active",
        page=page,
        inputs=inputs(final),
        models=tuple(models(final, own_id, experiment, points)),
    )


def _child_record(
    run: Run, task: Task, owner: Record, child: Child, files: Mapping[str, str], points: Measured
) -> Record:
    """A run within an attempt, such as a nested MLflow run."""
    page = task_run_page(run.id, task.id)
    tags = _tags(run, child.tags, _source(run, task), page, name=_cut(child.name, MAX_KEY))
    tags["mlflow.parentRunId"] = run_id(run.id, child.parent)
    experiment, named = owner.experiment, owner.experiment_name
    if child.experiment:
        experiment, named = experiment_id(child.experiment, child.experiment), child.experiment
    start = ms(child.start) or owner.start
    below = f"{child.folder}/"
    own = {path.removeprefix(below): at for path, at in files.items() if path.startswith(below)}
    own_id = run_id(run.id, child.id)
    status = "KILLED" if child.end is None and run.seal is not None else str(child.status)
    return Record(
        id=own_id,
        experiment=experiment,
        experiment_name=_cut(named, 256),
        name=tags["mlflow.runName"],
        status=status,
        user=_cut(child.user or run.context(names.ACTOR), 256),
        start=start,
        end=ms(child.end),
        params=_params(child.parameters),
        tags=tags,
        histories=_histories(child, start),
        artifacts=_artifacts(child, own),
        lifecycle="deleted" if child.deleted else "active",
        page=page,
        inputs=inputs(child),
        models=tuple(models(child, own_id, experiment, points)),
    )


def _run_status(run: Run) -> str:
    return _status(run.result, run)


def _status(result: Result | None, run: Run) -> str:
    if result is None:
        return "RUNNING" if run.seal is None else "KILLED"  # sealed without an end: the runner died
    return _STATUS.get(result, "FAILED")


def _source(run: Run, task: Task | None) -> dict[str, str]:
    commit = run.context(names.REF_REVISION)
    source = {
        "mlflow.source.name": (task.source if task else "") or run.pipeline,
        "mlflow.source.type": "NOTEBOOK"
        if task and task.type is TaskType.NOTEBOOK
        else "PROJECT"
        if commit
        else "LOCAL",
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": run.context(names.REF_NAME),
        "mlflow.source.git.repoURL": run.context(names.REPOSITORY_URL),
        "mlflow.user": run.context(names.ACTOR),
        "spanbook.trigger": run.trigger,
    }
    return {key: value for key, value in source.items() if value}


def _tags(
    run: Run, logged: Mapping[str, str], source: Mapping[str, str], page: str, *, name: str
) -> dict[str, str]:
    """Where a run comes from, then what was tagged, then the link to our own page."""
    tags = {**source, "mlflow.runName": name or _cut(f"{run.pipeline} {run.id[:7]}", MAX_KEY)}
    for key, value in _first(logged):
        tags[_cut(key, MAX_KEY)] = _cut(value, MAX_TAG)
    link = f"[Logs, figures and files of this run](../{page})"
    note = tags.get("mlflow.note.content", "")
    tags["mlflow.note.content"] = _cut(f"{note}\n\n{link}" if note else link, MAX_TAG)
    return tags


def _params(parameters: Mapping[str, Json]) -> dict[str, str]:
    return {_cut(key, MAX_KEY): _cut(_text(value), MAX_PARAM) for key, value in _first(parameters)}


def _first(items: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for number, (key, value) in enumerate(items.items()):
        if number == MAX_KEYS:
            return
        if key:
            yield key, value


def _text(value: Json) -> str:
    """A parameter as MLflow's client writes it: Python's ``str``; lists and mappings as JSON."""
    if isinstance(value, list | dict):
        try:
            return orjson.dumps(value).decode()
        except (orjson.JSONEncodeError, RecursionError):
            return str(value)
    return str(value)


def _histories(logged: Recorded, start: int) -> dict[str, list[Point]]:
    return {
        _cut(key, MAX_KEY): points
        for key, metric in _first(logged.metrics)
        if (points := _points(metric, start))
    }


def _points(metric: Metric, start: int) -> list[Point]:
    """A metric's points by step, time and value, each once; numbered where none has a step."""
    stepless = len(metric.values) > 1 and all(step is None for step in metric.steps)
    found = {}
    for number, (value, step, time) in enumerate(
        zip(metric.values, metric.steps, metric.times, strict=False)
    ):
        point = (number if stepless else _int64(step or 0), ms(time) or start, finite(value))
        found[(point[0], point[1], repr(point[2]))] = point
    return sorted(found.values(), key=order)


def _usage(samples: tuple[UsageSample, ...]) -> dict[str, list[Point]]:
    """CPU and memory under the names of MLflow's own system metrics."""
    cpu = [
        (i, ms(s.time) or 0, finite(100 * s.cpu))
        for i, s in enumerate(samples)
        if s.cpu is not None
    ]
    memory = [
        (i, ms(s.time) or 0, s.memory / 1e6) for i, s in enumerate(samples) if s.memory is not None
    ]
    found = {
        f"{SYSTEM}cpu_utilization_percentage": cpu,
        f"{SYSTEM}system_memory_usage_megabytes": memory,
    }
    return {key: points for key, points in found.items() if points}


def _artifacts(logged: Recorded, files: Mapping[str, str]) -> tuple[tuple[str, int, str], ...]:
    """The files as a tree can hold them: clean relative paths, no file where a folder is."""
    found: dict[str, tuple[str, int, str]] = {}
    for artifact in logged.artifacts:
        path = "/".join(
            part
            for part in artifact.path.replace("\\", "/").split("/")
            if part not in ("", ".", "..")
        )
        if path:
            found[path] = (path, min(artifact.size, 1 << 53), files.get(artifact.path, ""))
    folders = {
        path.rsplit("/", depth)[0] for path in found for depth in range(1, path.count("/") + 1)
    }
    return tuple(found[path] for path in sorted(found) if path not in folders)


def order(point: Point) -> tuple[int, int, float, bool]:
    """MLflow's order of points: NaN is kept as a zero with a mark."""
    step, time, value = point
    nan = math.isnan(value)
    return (step, time, 0.0 if nan else value, nan)


def _latest(point: Point) -> tuple[int, int, float]:
    step, time, value = point
    return (step, time, 0.0 if math.isnan(value) else value)


def _int64(step: int) -> int:
    return max(-(2**53), min(step, 2**53))  # what a page can count to


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def digest(text: str) -> str:
    """A short name for any text, for files."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
