"""The page of one task of one run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spanbook_runfile import Attempt, Metric, Task

from spanbook_site import formats, summary
from spanbook_site.draw import lines
from spanbook_site.files import SiteFile
from spanbook_site.mlflow.urls import MlflowUrls
from spanbook_site.summary import Summary
from spanbook_site.urls import Urls

if TYPE_CHECKING:
    from spanbook_site.pages.run import RunPages, TaskRow

SHOWN_LINES = 1_000
CHART_POINTS = 1_000
TABLE_POINTS = 100
LESS = (
    "loss",
    "error",
    "err",
    "mse",
    "mae",
    "rmse",
    "perplexity",
    "time",
    "duration",
    "seconds",
    "latency",
    "misses",
)


def write_task_page(
    pages: "RunPages", task: Task, row: "TaskRow", short: Summary, downstream: Sequence[Task]
) -> None:
    """Write a task's page and its logs."""
    from spanbook_site.pages.run import limits_of  # noqa: PLC0415 - the two pages share their rows

    run = pages.run
    address = Urls.task_run(run.id, task.id)
    files = pages.files.get(task.id, [])
    final = task.final
    minimize = pages.templates.settings.minimize
    metrics = [_metric(m, minimize) for m in (list(final.metrics.values())[:200] if final else ())]
    cause = run.by_id.get(task.cause or "")
    for file in files:
        if file.model_page:
            _write_model_page(pages, task, file, short)
    pages.output.write(
        address,
        pages.templates.page(
            "task_run.html",
            address,
            kind="task-run",
            title=f"{formats.text(task.title, 80)} \N{EN DASH} {short['pipeline']}",
            live=run.seal is None,
            run=run,
            task=task,
            final=final,
            row=row,
            s=short,
            page_of=pages.page_of,
            limits=limits_of(task),
            cause_page=pages.page_of(cause) if cause else "",
            upstream=[run.by_id[u] for u in task.upstream if u in run.by_id],
            downstream=downstream,
            metrics=metrics,
            charts=[m for m in metrics if m["points"] > 1],
            figures=[f for f in files if f.image],
            frames=[f for f in files if f.view and f.is_notebook]
            + [f for f in files if f.view and not f.is_notebook],
            files=files,
            attempts=[_attempt(pages, task, a) for a in task.attempts[-50:]],
            history=Urls.task_history(task.name),
            children=final.children if final else (),
            tracker=MlflowUrls(address),
        ),
    )


def _write_model_page(pages: "RunPages", task: Task, file: SiteFile, short: Summary) -> None:
    pages.output.write(
        file.model_page,
        pages.templates.page(
            "model.html",
            file.model_page,
            kind="model",
            title=f"{file.name}, live",
            run=pages.run,
            task=task,
            file=file,
            s=short,
            meta={**file.artifact.meta},
        ),
    )


def less_is_better(key: str, minimize: Sequence[str]) -> bool:
    """Whether a metric's best value is its least, by the settings or by its name."""
    words = key.lower().replace("-", "_").replace(".", "_").split("_")
    return key in minimize or any(word in LESS for word in words)


def _metric(metric: Metric, minimize: Sequence[str]) -> dict[str, Any]:
    least = less_is_better(metric.key, minimize)
    best = metric.min if least else metric.max
    where = next((i for i, v in enumerate(metric.values) if v == best), None)
    steps = _steps(metric)
    chosen = _thin(len(metric.values), CHART_POINTS)
    shown = _thin(len(metric.values), TABLE_POINTS)
    points = len(metric.values)
    return {
        "key": metric.key,
        "places": formats.places((metric.last, metric.min, metric.max)),
        "last": metric.last,
        "min": metric.min,
        "max": metric.max,
        "best": best,
        "best_step": None if where is None or metric.steps[where] is None else metric.steps[where],
        "points": points,
        "spark": lines.spark(
            metric.values, label=f"{formats.text(metric.key, 60)}, {points} points"
        )
        if points > 1
        else "",
        "chart": {
            "kind": "line",
            "x": {"label": "step" if None not in metric.steps else "point", "type": "number"},
            "y": {"label": formats.text(metric.key, 80)},
            "series": [
                {
                    "label": formats.text(metric.key, 80),
                    "x": [steps[i] for i in chosen],
                    "y": [summary.finite(metric.values[i]) for i in chosen],
                }
            ],
        },
        "rows": [(steps[i], metric.values[i]) for i in shown],
    }


def _steps(metric: Metric) -> list[int]:
    return [
        i if s is None else max(min(s, 1 << 53), -(1 << 53)) for i, s in enumerate(metric.steps)
    ]


def _thin(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` points, evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _attempt(pages: "RunPages", task: Task, attempt: Attempt) -> dict[str, Any]:
    log = ""
    if len(attempt.logs) > SHOWN_LINES and not pages.trimmed:
        log = Urls.task_run_part(pages.run.id, task.id, f"log-{attempt.number}.txt")
        text = "\n".join(
            f"{formats.iso(line.time)} {line.stream} {line.text}" for line in attempt.logs
        )
        pages.output.write(log, text + "\n")
    zero = attempt.usage[0].time if attempt.usage else 0
    cpu = [((u.time - zero) / formats.NS, u.cpu) for u in attempt.usage]
    memory = [
        ((u.time - zero) / formats.NS, None if u.memory is None else float(u.memory))
        for u in attempt.usage
    ]
    return {
        "data": attempt,
        "state": attempt.result or "running",
        "lines": attempt.logs[-SHOWN_LINES:],
        "total": len(attempt.logs),
        "log": log,
        "cpu": lines.area(cpu, label="CPU over time"),
        "cpu_max": max((c for _, c in cpu if c is not None), default=0),
        "memory": lines.area(memory, label="Memory over time"),
        "memory_max": int(max((m for _, m in memory if m is not None), default=0)),
    }
