"""Trends: each number of each task over the newest main runs, with the run that moved it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from spanbook_site import formats
from spanbook_site.draw import lines
from spanbook_site.output import Output
from spanbook_site.pages import numbers
from spanbook_site.pages.task_run import less_is_better
from spanbook_site.summary import Summary
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

MAX_SERIES = 400
MOVED = 5.0  # a step is a move where it is so many times the usual one


@dataclass(frozen=True)
class Point:
    """A number in one run."""

    run: Summary
    task_id: str
    value: float


@dataclass(frozen=True)
class Series:
    """One number of one task, oldest first."""

    task: str
    label: str
    metric: str
    points: tuple[Point, ...]
    least: bool
    leads: bool = False  # whether its best is the best of its metric's variants

    @property
    def places(self) -> int | None:
        """Decimals that line its numbers up."""
        return formats.places(p.value for p in self.points)

    @property
    def last(self) -> Point:
        """The newest point."""
        return self.points[-1]

    @property
    def previous(self) -> Point | None:
        """The one before."""
        return self.points[-2] if len(self.points) > 1 else None

    @property
    def best(self) -> Point:
        """The best point; of equals the first, so that it says since when."""
        pick = min if self.least else max
        return pick(self.points, key=lambda p: p.value)

    @property
    def moved(self) -> Point | None:
        """The run that changed the number most, where that step stands out."""
        steps = [abs(b.value - a.value) for a, b in zip(self.points, self.points[1:], strict=False)]
        if len(steps) < 3:
            return None
        biggest = max(range(len(steps)), key=steps.__getitem__)
        usual = statistics.median(steps)
        return (
            self.points[biggest + 1]
            if steps[biggest] > MOVED * usual and steps[biggest] > 0
            else None
        )

    @property
    def spark(self) -> Markup:
        """A small line of it."""
        return lines.spark(
            [p.value for p in self.points], label=f"{len(self.points)} runs", width=160
        )


def collect(newest: Sequence[Summary], minimize: Sequence[str]) -> list[Series]:
    """All series of these runs, in the order of the newest run's tasks."""
    found: dict[tuple[str, str, str], list[Point]] = {}
    for run in newest:
        for task in run["tasks"]:
            if task["state"] != "success":
                continue  # how far it got is no measure
            for metric, value in numbers.of_task(task).items():
                key = (task["name"], task["label"], metric)
                found.setdefault(key, []).append(Point(run, task["id"], value))
    return _led(
        [
            Series(task, label, metric, tuple(reversed(points)), less_is_better(metric, minimize))
            for (task, label, metric), points in list(found.items())[:MAX_SERIES]
        ]
    )


def _led(series: list[Series]) -> list[Series]:
    """Mark the variant that holds the best value of each metric that differs between variants."""
    variants: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        variants.setdefault((one.task, one.metric), []).append(one)
    leaders = set()
    for some in variants.values():
        values = [one.best.value for one in some]
        if len(set(values)) > 1:
            best = min(values) if some[0].least else max(values)
            leaders.add(id(next(one for one in some if one.best.value == best)))
    return [replace(one, leads=id(one) in leaders) for one in series]


def write(output: Output, templates: Templates, newest: Sequence[Summary]) -> None:
    """The overview, and a page of charts for each task."""
    series = collect(newest, templates.settings.minimize)
    by_task: dict[str, list[Series]] = {}
    for one in series:
        by_task.setdefault(one.task, []).append(one)
    for task, some in by_task.items():
        address = Urls.trend(task)
        page = templates.page(
            "trend.html",
            address,
            kind="trends",
            title=f"Trends of {task}",
            task=task,
            charts=_charts(some, Urls(address)),
        )
        output.write(address, page)
    overview = templates.page(
        "trends.html", Urls.TRENDS, kind="trends", title="Trends", by_task=by_task, runs=len(newest)
    )
    output.write(Urls.TRENDS, overview)


def _charts(series: Sequence[Series], urls: Urls) -> list[tuple[str, dict[str, Any], list[Series]]]:
    by_metric: dict[str, list[Series]] = {}
    for one in series:
        by_metric.setdefault(one.metric, []).append(one)
    return [(metric, _chart(metric, some, urls), some) for metric, some in by_metric.items()]


def _chart(metric: str, series: Sequence[Series], urls: Urls) -> dict[str, Any]:
    marks = []
    for one in series:
        point = one.moved
        if point and point.run["start"]:
            what = point.run["commit_title"] or formats.when(point.run["start"] * 1_000_000)
            marks.append(
                {
                    "x": point.run["start"] / 1000,
                    "label": f"moved by {what}",
                    "href": urls.to(Urls.run(point.run["id"])),
                }
            )
    return {
        "kind": "trend",
        "x": {"label": "run", "type": "time"},
        "y": {"label": metric},
        "series": [
            {
                "label": one.label or one.task,
                "x": [(p.run["start"] or 0) / 1000 for p in one.points],
                "y": [p.value for p in one.points],
                "href": [urls.to(Urls.task_run(p.run["id"], p.task_id)) for p in one.points],
            }
            for one in series[:12]
        ],
        "marks": marks[:12],
    }
