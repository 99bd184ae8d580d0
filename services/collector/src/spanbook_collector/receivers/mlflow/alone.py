"""Runs of scripts outside a pipeline: each becomes a run file of its own, when it ends.

Such a run is a pipeline named by its experiment, with one task and one attempt. Its id begins with
:data:`~spanbook_runfile.mlflow.ALONE` and 8 digits of its experiment's, so that the run files of an
experiment are found by their names.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.mlflow import ALONE
from spanbook_runfile.names import Event, Result, SpanType, TaskType
from spanbook_runfile.values import text_of, time_of

from spanbook_collector.errors import Refusal
from spanbook_collector.receivers.mlflow import records
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.records import Place
from spanbook_collector.receivers.mlflow.tracking import Tracking
from spanbook_collector.receivers.mlflow.views import Experiment, Ref
from spanbook_collector.runs import RunInProgress

log = logging.getLogger(__name__)
_TICK = 0.25  # seconds between looks for runs that ended
_GOING_ON = {"RUNNING", "SCHEDULED"}
_RESULTS = {
    "FINISHED": Result.SUCCESS,
    "FAILED": Result.FAILURE,
    "KILLED": Result.CANCELLATION,
}


async def begin(
    tracking: Tracking,
    experiment: Experiment,
    *,
    name: str,
    user: str,
    start: int,
    status: str,
    tags: Mapping[str, str],
) -> Ref:
    """Begin a run, on disk when this returns; ``start`` in ns.

    Raises:
        Busy: not now.
    """
    run = experiment.prefix + secrets.token_hex(9)
    root, task, attempt = (secrets.token_hex(8) for _ in range(3))
    at_root, at_task, at_attempt = (Place(run, span) for span in (root, task, attempt))
    owner = encode.resource(_resource(run, experiment.name, user, tags))
    about = {names.TASK_RUN_ID: task, names.ATTEMPT_NUMBER: 1, names.ATTEMPT_RUNNING: start}
    some = [
        at_root.record(
            Event.RUN_STARTED, experiment.name, {names.SPAN_TYPE: SpanType.RUN}, at=start
        ),
        at_task.record(Event.TASK_DECLARED, None, _task(experiment, tags), at=start),
        at_attempt.record(Event.ATTEMPT_STARTED, None, about, at=start),
        at_attempt.child(status=status, user=user, experiment=experiment.name),
        at_attempt.tag("mlflow.runName", name),
        *(at_attempt.tag(key, value) for key, value in tags.items() if key != "mlflow.runName"),
    ]
    await tracking.export(run, Signal.LOGS, records.logs(owner, some, beside=False))
    return Ref(run, attempt)


def _task(experiment: Experiment, tags: Mapping[str, str]) -> dict[str, object]:
    notebook = tags.get("mlflow.source.type") == "NOTEBOOK"
    return {
        names.TASK_NAME: experiment.name,
        names.TASK_TYPE: TaskType.NOTEBOOK if notebook else TaskType.PYTHON,
        names.TASK_INDEX: 0,
        names.TASK_SOURCE: tags.get("mlflow.source.name"),
    }


def _resource(run: str, pipeline: str, user: str, tags: Mapping[str, str]) -> dict[str, object]:
    return {
        names.SERVICE_NAME: "spanbook",
        names.SERVICE_VERSION: version("spanbook-collector"),
        names.PIPELINE_NAME: pipeline,
        names.PIPELINE_RUN_ID: run,
        names.TRIGGER: "local",
        names.ACTOR: user or tags.get("mlflow.user"),
        names.REF_REVISION: tags.get("mlflow.source.git.commit"),
        names.REF_NAME: tags.get("mlflow.source.git.branch"),
        names.REPOSITORY_URL: tags.get("mlflow.source.git.repoURL"),
    }


class Keeper:
    """Ends the runs that their scripts have ended, once nothing has come for a moment."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._linger = tracking.settings.mlflow_linger
        self._told: set[str] = set()
        self._looked: dict[str, int] = {}  # bytes of the journals of runs that had not ended

    async def run(self) -> None:
        """Look again and again; one run's fault is not another's."""
        while True:
            await asyncio.sleep(_TICK)
            for found in list(self._tracking.ingest.runs.in_progress.values()):
                if found.id.startswith(ALONE):
                    await self._look(found)

    async def _look(self, found: RunInProgress) -> None:
        if found.sealing or found.pending or found.tally.run_span:
            return
        if time.monotonic() - found.last < self._linger:
            return
        if self._looked.get(found.id) == found.journal.length:
            return
        try:
            book = await self._tracking.book(found.id)
            if book is not None and (end := _ended(book)):
                await self._finish(book, *end)
            elif len(self._looked) > 10_000:
                self._looked.clear()
            else:
                self._looked[found.id] = found.journal.length
        except (Refusal, MlflowError, OSError) as error:
            if found.id not in self._told:
                self._told.add(found.id)
                log.warning("Run %s of MLflow cannot be ended yet: %s", found.id, error)

    async def _finish(self, book: Book, attempt: str, status: str, end: int) -> None:
        found = book.decoder.attempt(attempt)
        if found is None:
            raise AssertionError("an ended run has an attempt")
        task, told = found
        start = told.running or end
        result = _RESULTS.get(status, Result.FAILURE)
        error = None if result is Result.SUCCESS else f"The script ended the run as {status}."
        error_type = "" if result is not Result.FAILURE else "MlflowRunFailed"
        name = book.decoder.task_name(task)

        def span(
            span_id: str, parent: str, title: str, attrs: Mapping[str, object], kind: int = 1
        ) -> Span:
            return encode.span(
                run_id=book.id,
                span_id=span_id,
                parent_id=parent,
                name=title,
                start=start,
                end=end,
                kind=kind,  # type: ignore[arg-type]
                attrs={names.ERROR_TYPE: error_type or None, **attrs},
                error=error,
            )

        about = {names.TASK_RUN_ID: task, names.ATTEMPT_NUMBER: 1, names.ATTEMPT_RUNNING: start}
        spans = [
            span(
                attempt,
                task,
                name,
                {names.SPAN_TYPE: SpanType.ATTEMPT, **about, names.ATTEMPT_RESULT: result},
            ),
            span(
                task,
                book.root,
                name,
                {
                    names.SPAN_TYPE: SpanType.TASK,
                    names.TASK_NAME: name,
                    names.TASK_RESULT: result,
                    names.TASK_RUN_ID: task,
                    **_kept(book, task),
                },
            ),
            span(
                book.root,
                "",
                f"RUN {text_of(book.resource.get(names.PIPELINE_NAME))}",
                {
                    names.SPAN_TYPE: SpanType.RUN,
                    names.PIPELINE_NAME: book.resource.get(names.PIPELINE_NAME),
                    names.ACTION_NAME: "RUN",
                    names.RESULT: result,
                    names.DECLARED_SPANS: book.spans + 3,
                    names.DECLARED_LOG_RECORDS: book.records,
                    names.DECLARED_METRIC_POINTS: 0,
                },
                kind=2,
            ),
        ]
        await self._tracking.export(
            book.id, Signal.TRACES, records.traces(book.owner, spans, beside=False)
        )


def _kept(book: Book, task: str) -> dict[str, object]:
    """What a task's declaration says and its span repeats."""
    told = book.decoder.declared(task)
    return {key: told.get(key) for key in (names.TASK_TYPE, names.TASK_INDEX, names.TASK_SOURCE)}


def _ended(book: Book) -> tuple[str, str, int] | None:
    """The attempt of a run that its script has ended, with its status and end (ns)."""
    for attempt in book.decoder.attempt_ids:
        told = book.decoder.told(attempt)
        status = text_of(told.get(names.CHILD_STATUS))
        if not status or status in _GOING_ON:
            return None
        if any(
            text_of(book.decoder.told(child).get(names.CHILD_STATUS)) in _GOING_ON
            for child in book.decoder.child_ids
        ):
            return None
        return attempt, status, time_of(told.get(names.CHILD_END)) or time.time_ns()
    return None
