"""What list pages know of a run: its summary, which is also the site's documented ``summary.json``.

A run's own pages are written from the whole :class:`~spanbook_runfile.Run`, once. All that spans
runs (lists, tasks, trends, comparison, data files) is written from summaries.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from spanbook_runfile import Attempt, Metric, Run, Task, names
from spanbook_runfile.names import TaskType

from spanbook_site import formats

if TYPE_CHECKING:
    from spanbook_site.origins import Origin

VERSION = 1  # of summary.json; grows when a member changes its meaning or goes
MAX_TASKS = 2_000  # tasks of one run that get pages and a place in the data
MAX_KEYS = 200  # parameters, metrics or values of one task in the data
MAX_TEXT = 300  # characters of one value in the data

Summary: TypeAlias = dict[str, Any]
GOOD = ("success",)
SKIPPED = ("skip",)
OPEN = ("running", "queued", "waiting")


def summarize(
    run: Run,
    files: Mapping[str, list[Summary]],
    *,
    trimmed: bool,
    origin: "Origin | None" = None,
) -> Summary:
    """A run's summary; ``files`` holds the written files by task id, those of the run under ""."""
    tasks = run.tasks[:MAX_TASKS]
    return {
        "version": VERSION,
        "id": run.id,
        "pipeline": formats.text(run.pipeline, 120),
        "name": formats.text(given_name(run), 120),
        "state": run.state,
        "start": _ms(run.start),
        "duration": seconds(run.start, run.end),
        "trigger": formats.text(run.trigger, 40),
        "change": formats.text(run.context(names.CHANGE_ID), 40),
        "change_title": formats.text(run.context(names.CHANGE_TITLE), 160),
        "branch": formats.text(run.context(names.REF_NAME), 120),
        "commit": formats.text(run.context(names.REF_REVISION), 64),
        "commit_title": formats.text(run.context(names.COMMIT_TITLE), 160),
        "dirty": run.resource.get(names.DIRTY) is True,
        "repository": web(run.context(names.REPOSITORY_URL)),
        "ci_url": web(run.context(names.PIPELINE_RUN_URL)),
        "actor": formats.text(run.context(names.ACTOR), 80),
        "counts": counts(run.tasks),
        "reason": reason(run),
        "origin": _origin(origin),
        "trimmed": trimmed,
        "problems": [formats.text(p) for p in run.problems[:20]],
        "parameters": scalars(run.parameters),
        "metrics": metric_values(run.metrics),
        "tags": scalars(run.tags),
        "files": files.get("", []),
        "tasks": [_task(task, files.get(task.id, [])) for task in tasks],
    }


def given_name(run: Run) -> str:
    """What someone called this one run with MLflow's client; empty where nobody did."""
    only = run.tasks[0].final if len(run.tasks) == 1 else None
    tags = {**(only.tags if only else {}), **run.tags}
    return str(tags.get("mlflow.runName", ""))


def heading(run: Summary) -> str:
    """How people know a run: by its commit, its pull request, the name they gave it, or its pipeline."""
    return str(run["commit_title"] or run["change_title"] or run["name"] or run["pipeline"])


def _origin(origin: "Origin | None") -> Summary | None:
    """Where the run file came from by GitHub's word; None where it was not collected from there."""
    if origin is None:
        return None
    return {
        "artifact": origin.artifact,
        "workflow_run": origin.workflow_run,
        "branch": formats.text(origin.branch, 120),
        "commit": formats.text(origin.sha, 64),
        "fork": origin.fork,
        "conflicts": [formats.text(c) for c in origin.conflicts],
    }


def _task(task: Task, files: list[Summary]) -> Summary:
    final = task.final
    return {
        "id": task.id,
        "name": formats.name(task.name),
        "label": formats.text(task.label, 120),
        "type": str(task.type),
        "state": task.state,
        "start": _ms(task.start or (final.start if final else None)),
        "duration": seconds(task.start, task.end),
        "run_duration": run_seconds(final),
        "attempts": len(task.attempts),
        "upstream": list(task.upstream),
        "error": error_line(task),
        "parameters": scalars(final.parameters) if final else {},
        "metrics": metric_values(final.metrics) if final else {},
        "values": scalars(final.values) if final else {},
        "tags": scalars(final.tags) if final else {},
        "files": files,
    }


def counts(tasks: Iterable[Task]) -> dict[str, int]:
    """How many tasks ended well, ended badly, were skipped, are not done yet, and there are."""
    out = {"ok": 0, "failed": 0, "skipped": 0, "open": 0, "total": 0}
    for task in tasks:
        state = task.state
        kind = (
            "ok"
            if state in GOOD
            else "skipped"
            if state in SKIPPED
            else "open"
            if state in OPEN
            else "failed"
        )
        out[kind] += 1
        out["total"] += 1
    return out


def culprit(run: Run) -> Task | None:
    """The task that a failed run is to blame on: the first to end badly."""
    bad = [t for t in run.tasks if t.state not in (*GOOD, *SKIPPED, *OPEN)]
    return min(bad, key=lambda t: (t.end or 0, t.index), default=None)


def reason(run: Run) -> str:
    """Why a run is not good, on one line; empty where it is."""
    task = culprit(run)
    if task:
        return formats.text(f"{formats.text(task.title, 80)}: {error_line(task)}", 220)
    if run.state == "interrupted":
        return "The runner died: nothing more came, and the run was sealed as far as it got."
    if run.state in GOOD or run.state in OPEN or run.foreign:
        return ""
    return formats.text(
        ": ".join(x for x in (run.error_type, run.error_message) if x) or run.state, 220
    )


def error_line(task: Task) -> str:
    """What went wrong with a task, on one line."""
    if task.state in (*GOOD, *OPEN):
        return ""
    final = task.final
    kind, message = task.error_type, task.error_message
    if final and not message:
        kind, message = final.error_type or kind, final.error_message
    if final and final.exceptions and (not message or message == "error"):
        last = final.exceptions[-1]
        kind, message = last.type or kind, last.message
    if message.startswith(f"{kind}:"):
        kind = ""
    return formats.text(": ".join(x for x in (kind, message.strip().split("\n")[0]) if x), 220)


def scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the data files hold them: numbers and booleans as they are, the rest as bounded text."""
    out: dict[str, Any] = {}
    for key, value in list(values.items())[:MAX_KEYS]:
        if isinstance(value, float) and not math.isfinite(value):
            value = formats.number(value)  # noqa: PLW2901
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
            value = str(value)  # noqa: PLW2901
        elif value is not None and not isinstance(value, bool | int | float):
            value = formats.text(value, MAX_TEXT)  # noqa: PLW2901
        out[formats.text(key, 120)] = value
    return out


def metric_values(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Each metric as ``[last, min, max, points]``; what is not finite is null."""
    return {
        formats.text(key, 120): [finite(m.last), finite(m.min), finite(m.max), len(m.values)]
        for key, m in list(metrics.items())[:MAX_KEYS]
    }


def finite(value: float) -> float | None:
    """The number, or None where JSON has none."""
    return float(value) if math.isfinite(value) else None


def seconds(start: int | None, end: int | None) -> float | None:
    """A time span in seconds, to the millisecond."""
    return None if start is None or end is None else round((end - start) / formats.NS, 3)


def run_seconds(attempt: Attempt | None) -> float | None:
    """How long the user's own code took, without the wait for a worker and its start."""
    return seconds(attempt.began, attempt.end) if attempt else None


def web(url: str) -> str:
    """The URL if it is one a page may link to, else nothing."""
    return (
        url
        if url.startswith(("https://", "http://")) and len(url) <= 2000 and url.isprintable()
        else ""
    )


def _ms(ns: int | None) -> int | None:
    return None if ns is None else ns // 1_000_000


def title(task: Summary) -> str:
    """A summarized task's name with its label."""
    return f"{task['name']} {task['label']}" if task["label"] else str(task["name"])


def is_main(run: Summary, branches: Iterable[str]) -> bool:
    """Whether a run counts as the record: no pull request, and on a main branch or on none.

    One that came from a fork, or whose word GitHub contradicts, may say what it likes.
    """
    if run["change"] or run["trigger"] == "pull_request":
        return False
    if run["origin"] and (run["origin"]["fork"] or run["origin"]["conflicts"]):
        return False
    return not run["branch"] or run["branch"] in branches


def is_notebook(task: Task) -> bool:
    """Whether a task's code is a notebook."""
    return task.type is TaskType.NOTEBOOK
