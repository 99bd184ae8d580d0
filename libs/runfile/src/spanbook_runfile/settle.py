"""A sealed run as it is told: what was under way when its runner died ended there."""

from collections.abc import Iterable
from dataclasses import replace

from spanbook_runfile.model import Attempt, Run, Task
from spanbook_runfile.names import Result

DIED = "The runner died while it ran."


def settled(run: Run) -> Run:
    """A sealed run with no task left open: what was under way when its runner died ended there."""
    if run.seal is None or all(task.result is not None for task in run.tasks):
        return run
    last = max(
        (t for task in run.tasks for a in task.attempts for t in _times(a)), default=run.start
    )
    return replace(
        run, tasks=tuple(t if t.result is not None else _settled(t, last) for t in run.tasks)
    )


def _settled(task: Task, last: int | None) -> Task:
    if not task.attempts:
        return replace(task, result=Result.SKIP)
    attempts = tuple(
        a if a.result is not None else replace(a, result=Result.ERROR, end=last, error_message=DIED)
        for a in task.attempts
    )
    return replace(task, attempts=attempts, result=Result.ERROR, end=last, error_message=DIED)


def _times(attempt: Attempt) -> Iterable[int]:
    yield from (t for t in (attempt.queued, attempt.start, attempt.running, attempt.end) if t)
    yield from (line.time for line in attempt.logs[-1:])
    yield from (sample.time for sample in attempt.usage[-1:])


__all__ = ["DIED", "settled"]
