"""The run list: the home page with the newest, and a page and a data shard for every 200."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from spanbook_site import formats
from spanbook_site.output import Output
from spanbook_site.pages import numbers
from spanbook_site.record import Record
from spanbook_site.settings import Settings
from spanbook_site.summary import Summary, heading
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

ROWS, CHANGE_ROWS = 50, 10  # on the home page
STRIP = 60  # runs in the strip
AUTO_COLUMNS = 3


@dataclass(frozen=True)
class Group:
    """One list of runs, newest first, and how many there are in all."""

    name: str
    newest: Sequence[Summary]
    total: int
    shards: int


@dataclass(frozen=True)
class Column:
    """A metric column: ``task.metric``, and how many decimals line it up."""

    key: str
    places: int | None


def columns(newest: Sequence[Summary], settings: Settings) -> tuple[Column, ...]:
    """Metric columns: the chosen ones, else the first numbers of the last task that has any."""
    keys = settings.metrics or _first_numbers(newest)
    found = [numbers.of_run(run, settings.minimize) for run in newest]
    return tuple(Column(key, formats.places(f.get(key) for f in found)) for key in keys)


def _first_numbers(newest: Sequence[Summary]) -> tuple[str, ...]:
    for run in newest:
        for task in reversed(run["tasks"]):
            if found := numbers.of_task(task):
                return tuple(f"{task['name']}.{key}" for key in list(found)[:AUTO_COLUMNS])
    return ()


def with_shown(run: Summary, chosen: Sequence[Column], settings: Settings) -> Summary:
    """The run with its values of the metric columns."""
    found = numbers.of_run(run, settings.minimize)
    return {**run, "shown": {column.key: found.get(column.key) for column in chosen}}


def write_shard(
    output: Output,
    templates: Templates,
    group: str,
    number: int,
    total: int,
    rows: Sequence[Summary],
    chosen: Sequence[Column],
) -> None:
    """One shard: a page for people, the same rows for the home page's script, and plain JSON."""
    shown = [with_shown(run, chosen, templates.settings) for run in rows]
    address = Urls.history(group, number)
    what = "Runs" if group == "runs" else "Pull requests and other branches"
    page = templates.page(
        "history.html",
        address,
        kind="history",
        title=f"{what}, page {number}",
        rows=shown,
        columns=chosen,
        group=group,
        shard=number,
        shards=total,
    )
    output.write(address, page)
    data = [
        [
            run["id"],
            values(run, chosen),
            templates.macro("_runs.html", "run_row", Urls.HOME, run, chosen),
        ]
        for run in shown
    ]
    output.write_data(
        Urls.runs_data(group, number),
        {"version": 2, "keys": [*KEYS, *(f"metric:{c.key}" for c in chosen)], "rows": data},
    )


KEYS = (
    "state",
    "title",
    "start",
    "duration",
    "failed",
    "trigger",
    "pipeline",
    "branch",
    "change",
    "commit",
    "actor",
)


def values(run: Summary, chosen: Sequence[Column]) -> list[Any]:
    """A run's cells as data, in the order of the table's columns."""
    fixed = [
        run["state"],
        heading(run),
        None if run["start"] is None else run["start"] / 1000,
        run["duration"],
        run["counts"]["failed"],
        run["trigger"],
        run["pipeline"],
        run["branch"],
        run["change"],
        run["commit"],
        run["actor"],
    ]
    return fixed + [run["shown"].get(column.key) for column in chosen]


def write_home(
    output: Output,
    templates: Templates,
    *,
    main: Group,
    changes: Group,
    broken: Sequence[Record],
    columns: Sequence[Column],
    trimmed: int,
) -> None:
    """The home page; ``trimmed`` is how many runs have lost their files to the size budget."""
    settings = templates.settings
    rows = [with_shown(run, columns, settings) for run in main.newest[:ROWS]]
    change_rows = [
        with_shown(run, columns, settings)
        for run in changes.newest[: CHANGE_ROWS if main.total else ROWS]
    ]
    page = templates.page(
        "home.html",
        Urls.HOME,
        kind="runs",
        title="Runs",
        live=any(run["state"] == "running" for run in [*rows, *change_rows]),
        total=main.total + changes.total,
        total_main=main.total,
        changes_total=changes.total,
        rows=rows,
        changes=change_rows,
        columns=columns,
        shards=_shards(main),
        change_shards=_shards(changes),
        older=Urls.history(main.name, main.shards) if main.total > len(rows) else "",
        older_changes=Urls.history(changes.name, changes.shards)
        if changes.total > len(change_rows)
        else "",
        broken=[{"name": r.name, "reason": r.broken, "address": Urls.run(r.key)} for r in broken],
        trimmed=trimmed,
        strip=_strip(main.newest or changes.newest),
        stale=_schedule(main.newest),
    )
    output.write(Urls.HOME, page)


def _shards(group: Group) -> list[str]:
    return [Urls.runs_data(group.name, number) for number in range(group.shards, 0, -1)]


def _schedule(newest: Sequence[Summary]) -> dict[str, Any] | None:
    """The last scheduled run, and how often there is one (median gap in seconds)."""
    scheduled = [run["start"] for run in newest if run["trigger"] == "schedule" and run["start"]]
    if not scheduled:
        return None
    gaps = [(a - b) / 1000 for a, b in pairwise(scheduled)]
    return {"start": scheduled[0], "every": round(statistics.median(gaps)) if gaps else 86_400}


def _strip(newest: Sequence[Summary]) -> dict[str, Any] | None:
    """Pass rate, median duration, and a bar a run: oldest left, height by duration."""
    done = [run for run in newest if run["state"] not in ("running", "trace")][:STRIP]
    if len(done) < 2:
        return None
    good = [run for run in done if run["state"] == "success"]
    lengths = [run["duration"] for run in done if run["duration"] is not None]
    median = statistics.median(lengths) if lengths else None
    top = max(lengths, default=1) or 1
    if median and top > 4 * median:
        top = 4 * median  # one endless run must not flatten the others
    width = 100 / max(len(done), 20)
    bars = [
        _bar(
            run,
            x=number * width,
            width=width * 0.8,
            height=max(4, min((run["duration"] or 0) / top, 1) * 44),
        )
        for number, run in enumerate(reversed(done))
    ]
    svg = Markup(
        '<svg class="strip" width="100%" height="48" role="group" '
        'aria-label="Duration and result of the last {} runs, oldest first">{}</svg>'
    ).format(len(done), Markup("").join(bars))
    rate = f"{len(good)} of {len(done)}" if len(done) < 20 else f"{len(good) / len(done):.0%}"
    return {
        "svg": svg,
        "rate": rate,
        "count": len(done),
        "median": formats.seconds(median) or "\N{EN DASH}",
        "newest": newest[0],
    }


def _bar(run: Summary, *, x: float, width: float, height: float) -> Markup:
    when = formats.when((run["start"] or 0) * 1_000_000)
    title = f"{formats.state_word(run['state'])}, {formats.seconds(run['duration'])}, {when}"
    return Markup(
        '<a href="{}"><title>{}</title>'
        '<rect class="s-{}" x="{:.3f}%" width="{:.3f}%" y="{:.1f}" height="{:.1f}" rx="1.5"/></a>'
    ).format(
        Urls(Urls.HOME).to(Urls.run(run["id"])), title, run["state"], x, width, 46 - height, height
    )
