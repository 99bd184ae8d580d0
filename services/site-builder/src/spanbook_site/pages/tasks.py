"""A task over all runs: the experiment's table of parameters and metrics, with charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spanbook_site import formats
from spanbook_site.mlflow.urls import MlflowUrls
from spanbook_site.output import Output
from spanbook_site.pages import numbers
from spanbook_site.settings import Settings
from spanbook_site.summary import Summary, heading, is_main, title
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

ROWS = 50  # on the page
LINES = 100  # of parallel coordinates
MAX_COLUMNS = 60  # of parameters, and of metrics
SHOWN = 8  # of each, until others are chosen
CHARTS = 6


@dataclass(frozen=True)
class Row:
    """One task run among its like."""

    run: Summary
    task: Summary
    numbers: Mapping[str, float]

    @property
    def id(self) -> str:
        """Run and span id: what Compare takes."""
        return f"{self.run['id']}.{self.task['id']}"

    @property
    def page(self) -> str:
        """The address of the task run's page."""
        return Urls.task_run(self.run["id"], self.task["id"])

    @property
    def what(self) -> str:
        """The run, as people know it."""
        return heading(self.run)


@dataclass(frozen=True)
class Columns:
    """The table's columns: parameters, and numbers."""

    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    places: Mapping[str, int | None]  # decimals of each metric

    @property
    def keys(self) -> list[str]:
        """The names of all columns, as the table's heads have them."""
        parameters = [f"param:{key}" for key in self.parameters]
        metrics = [f"metric:{key}" for key in self.metrics]
        return ["state", "run", "label", "start", "duration", *parameters, *metrics]


def rows_of(name: str, newest: Sequence[Summary]) -> list[Row]:
    """Every run of a task in these runs."""
    return [
        Row(run, t, numbers.of_task(t)) for run in newest for t in run["tasks"] if t["name"] == name
    ]


def columns(rows: Sequence[Row]) -> Columns:
    """The columns that the newest runs call for."""
    parameters = sorted(numbers.first_seen(row.task["parameters"] for row in rows))
    metrics = numbers.first_seen(row.numbers for row in rows)
    shown = metrics[:MAX_COLUMNS]
    places = {key: formats.places(row.numbers.get(key) for row in rows) for key in shown}
    return Columns(tuple(parameters[:MAX_COLUMNS]), tuple(shown), places)


def write_shard(
    output: Output,
    templates: Templates,
    name: str,
    number: int,
    rows: Sequence[Row],
) -> None:
    """One shard of a task's table, with the columns that its own runs call for."""
    page, shown = Urls.task(name), columns(rows)
    data = [
        [
            row.id,
            _values(row, shown),
            templates.macro("_experiment.html", "task_row", page, row, shown),
        ]
        for row in rows
    ]
    content = {"version": 2, "keys": shown.keys, "rows": data}
    output.write_data(Urls.task_data(name, number), content)


def _values(row: Row, columns: Columns) -> list[Any]:
    start = row.run["start"]
    fixed = [
        row.task["state"],
        row.what,
        row.task["label"],
        None if start is None else start / 1000,
        row.task["run_duration"],
    ]
    parameters = [row.task["parameters"].get(key) for key in columns.parameters]
    return fixed + parameters + [row.numbers.get(key) for key in columns.metrics]


def write_page(
    output: Output,
    templates: Templates,
    name: str,
    rows: Sequence[Row],
    columns: Columns,
    *,
    runs: int,
    shards: int,
) -> None:
    """The task's page, and the data of its run-time history."""
    address = Urls.task(name)
    history = _over_time("run time (s)", rows, lambda row: row.task["run_duration"], Urls(address))
    from_root = _over_time(
        "run time (s)", rows, lambda row: row.task["run_duration"], Urls(Urls.HOME)
    )
    output.write_data(Urls.task_history(name), from_root)
    constant = [
        key
        for key in columns.parameters
        if len({str(r.task["parameters"][key]) for r in rows if key in r.task["parameters"]}) == 1
    ]
    output.write(
        address,
        templates.page(
            "task.html",
            address,
            kind="task",
            title=name,
            name=name,
            rows=rows[:ROWS],
            columns=columns,
            constant=constant,
            shown=SHOWN,
            runs=runs,
            total=len(rows) if shards <= 1 else 0,
            shards=[Urls.task_data(name, n) for n in range(shards, 0, -1)],
            best=best(rows, columns, templates.settings),
            charts=charts(rows, columns, Urls(address)),
            history=history,
            mlflow_table=_mlflow_table(name, rows, address) if templates.mlflow else "",
        ),
    )


def _mlflow_table(name: str, rows: Sequence[Row], page: str) -> str:
    """The task's table in the MLflow pages; none where it never began."""
    ran = (row.run["pipeline"] for row in rows if row.task["attempts"])
    newest = next(ran, None)
    return "" if newest is None else MlflowUrls(page).task(newest, name)


@dataclass(frozen=True)
class Best:
    """The best value of one metric in good main runs, and the first run that had it."""

    metric: str
    value: float
    row: Row


def best(rows: Sequence[Row], columns: Columns, settings: Settings) -> list[Best]:
    """Of each metric that is not the same everywhere: its best, and since when; rows newest first."""
    able = [r for r in rows if r.task["state"] == "success" and is_main(r.run, settings.main)]
    out = []
    for metric in columns.metrics[:CHARTS]:
        having = [r for r in able if metric in r.numbers]
        if len({r.numbers[metric] for r in having}) < 2:
            continue
        pick = min if numbers.less_is_better(metric, settings.minimize) else max
        top = pick(r.numbers[metric] for r in having)
        out.append(Best(metric, top, next(r for r in reversed(having) if r.numbers[metric] == top)))
    return out


def charts(rows: Sequence[Row], columns: Columns, urls: Urls) -> list[tuple[str, dict[str, Any]]]:
    """Metric against parameter, metric over time, and parallel coordinates, as far as they say something."""
    rows = [
        row for row in rows if row.task["state"] == "success"
    ]  # how far others got is no measure
    varying = [key for key in columns.parameters if _varies(rows, key)]
    moving = [m for m in columns.metrics if len({r.numbers[m] for r in rows if m in r.numbers}) > 1]
    metrics = moving[:CHARTS]
    out = [(f"{m} against {p}", _scatter(m, p, rows, urls)) for p in varying[:1] for m in metrics]
    if len({row.run["id"] for row in rows}) > 1:
        out += [
            (f"{m} over time", _over_time(m, rows, lambda row, m=m: row.numbers.get(m), urls))
            for m in metrics
        ]
    if varying and moving and len(rows) > 2:
        out.append(("Parameters and metrics", _parallel(rows, varying[:5], moving[:4], urls)))
    return out


def _varies(rows: Sequence[Row], key: str) -> bool:
    found = {row.task["parameters"].get(key) for row in rows} - {None}
    return len(found) > 1 and all(_number(v) is not None for v in found)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _scatter(metric: str, parameter: str, rows: Sequence[Row], urls: Urls) -> dict[str, Any]:
    points = [
        (_number(r.task["parameters"].get(parameter)), r.numbers.get(metric), r) for r in rows
    ]
    kept = [(x, y, r) for x, y, r in points if x is not None and y is not None]
    return {
        "kind": "scatter",
        "x": {"label": parameter, "type": "number"},
        "y": {"label": metric},
        "series": [
            {
                "label": metric,
                "x": [x for x, _, _ in kept],
                "y": [y for _, y, _ in kept],
                "href": [urls.to(r.page) for _, _, r in kept],
            }
        ],
    }


def _over_time(label: str, rows: Sequence[Row], value: Any, urls: Urls) -> dict[str, Any]:
    series: dict[str, list[tuple[float, float, Row]]] = {}
    for row in reversed(rows):
        y = value(row)
        if y is not None and row.run["start"]:
            series.setdefault(row.task["label"] or row.task["name"], []).append(
                (row.run["start"] / 1000, y, row)
            )
    return {
        "kind": "trend",
        "x": {"label": "run", "type": "time"},
        "y": {"label": label},
        "series": [
            {
                "label": name,
                "x": [x for x, _, _ in points],
                "y": [y for _, y, _ in points],
                "href": [urls.to(row.page) for _, _, row in points],
            }
            for name, points in list(series.items())[:12]
        ],
    }


def _parallel(
    rows: Sequence[Row], parameters: Sequence[str], metrics: Sequence[str], urls: Urls
) -> dict[str, Any]:
    return {
        "kind": "parallel",
        "axes": [{"label": key, "type": "number"} for key in (*parameters, *metrics)],
        "rows": [
            {
                "label": title(row.task),
                "href": urls.to(row.page),
                "values": [row.task["parameters"].get(k) for k in parameters]
                + [row.numbers.get(k) for k in metrics],
            }
            for row in rows[:LINES]
        ],
    }


def write_index(
    output: Output, templates: Templates, entries: Sequence[tuple[str, int, Summary]]
) -> None:
    """The list of all tasks."""
    shown = []
    for name, runs, newest in entries:
        found = [t for t in newest["tasks"] if t["name"] == name]
        worst = next((t for t in found if t["state"] != "success"), found[0] if found else None)
        shown.append(
            {"name": name, "runs": runs, "newest": newest, "task": worst, "count": len(found)}
        )
    page = templates.page("tasks.html", Urls.TASKS, kind="tasks", title="Tasks", entries=shown)
    output.write(Urls.TASKS, page)
