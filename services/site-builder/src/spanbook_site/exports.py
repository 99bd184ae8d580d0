"""A run in the forms that other programs read: Perfetto, the ancestor's metadata, the comparison."""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from spanbook_runfile import Run, Task

from spanbook_site import formats, summary
from spanbook_site.summary import Summary
from spanbook_site.urls import Urls

COMPARE_POINTS = 200
COMPARE_TASKS = 300
COMPARE_ENTRIES = 50  # of one mapping
EXPORT_TASKS = 10_000  # the run file has the rest


def run_time_metadata(run: Run) -> dict[str, Any]:
    """The ancestor's ``run-time-metadata.json``: timing, edges and attributes of run and tasks."""
    return {
        "span_id": run.id,
        "timing_start_iso8601": formats.iso(run.start),
        "timing_end_iso8601": formats.iso(run.end),
        "timing_duration_s": summary.seconds(run.start, run.end),
        "task_dependencies": [
            ["0x" + above, "0x" + task.id]
            for task in run.tasks[:EXPORT_TASKS]
            for above in task.upstream
        ],
        "attributes": {key: _plain(value) for key, value in sorted(run.resource.items())},
        "parameters": {key: _plain(value) for key, value in run.parameters.items()},
        "status": run.state,
        "tasks": [_metadata(task) for task in run.tasks[:EXPORT_TASKS]],
    }


def _metadata(task: Task) -> dict[str, Any]:
    final = task.final
    return {
        "span_id": "0x" + task.id,
        "task_id": task.name,
        "title": task.title,
        "type": str(task.type),
        "status": task.state,
        "timing_start_iso8601": formats.iso(task.start),
        "timing_end_iso8601": formats.iso(task.end),
        "timing_duration_s": summary.seconds(task.start, task.end),
        "parameters": {k: _plain(v) for k, v in final.parameters.items()} if final else {},
        "values": {k: _plain(v) for k, v in final.values.items()} if final else {},
        "metrics": {k: _plain(m.last) for k, m in final.metrics.items()} if final else {},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return value


def perfetto(run: Run) -> dict[str, Any]:
    """The run in Chrome's trace event format, which Perfetto opens: a track a task.

    Times are µs since the run's start: since the epoch they would be too large for a double to hold
    the nanoseconds, and slices that follow each other would seem to overlap.
    """
    zero = run.start or min((t.start for t in run.tasks if t.start), default=0)
    events: list[dict[str, Any]] = [_named(0, "process_name", f"{run.pipeline} {run.id[:8]}")]
    for number, task in enumerate(run.tasks[:EXPORT_TASKS], start=1):
        events += [_named(number, "thread_name", formats.text(task.title, 100)), _sorted(number)]
        for attempt in task.attempts:
            stretches = (
                ("waiting", attempt.queued, attempt.start),
                ("starting up", attempt.start, attempt.running),
                (f"{task.title} #{attempt.number}", attempt.began, attempt.end),
            )
            for name, start, end in stretches:
                if start and end and end >= start:
                    events.append(
                        {
                            "name": formats.text(name, 100),
                            "cat": attempt.result or "running",
                            "ph": "X",
                            "ts": (start - zero) / 1000,
                            "dur": (end - start) / 1000,
                            "pid": 1,
                            "tid": number,
                            "args": {
                                "attempt": attempt.number,
                                "result": attempt.result or "running",
                            },
                        }
                    )
            for sample in attempt.usage:
                values = (
                    {"cores": sample.cpu}
                    if sample.cpu is not None and math.isfinite(sample.cpu)
                    else {}
                )
                if values:
                    name = f"CPU {formats.text(task.title, 60)}"
                    events.append(
                        {
                            "name": name,
                            "ph": "C",
                            "ts": (sample.time - zero) / 1000,
                            "pid": 1,
                            "args": values,
                        }
                    )
    return {
        "displayTimeUnit": "ms",
        "otherData": {"run": run.id, "start": formats.iso(zero)},
        "traceEvents": events,
    }


def _named(track: int, what: str, name: str) -> dict[str, Any]:
    return {
        "name": what,
        "ph": "M",
        "pid": 1,
        "tid": track,
        "args": {"name": formats.text(name, 100)},
    }


def _sorted(track: int) -> dict[str, Any]:
    return {
        "name": "thread_sort_index",
        "ph": "M",
        "pid": 1,
        "tid": track,
        "args": {"sort_index": track},
    }


def compare(run: Run, short: Summary) -> bytes:
    """What the Compare page needs of a run, as JSON (see static/js/README.md)."""
    context = {
        key: short[key]
        for key in ("pipeline", "trigger", "branch", "commit", "commit_title", "change", "actor")
        if short[key]
    }
    tasks = []
    for task, entry in list(zip(run.tasks, short["tasks"], strict=False))[:COMPARE_TASKS]:
        final = task.final
        tasks.append(
            {
                "id": task.id,
                "name": entry["name"],
                "title": summary.title(entry),
                "href": Urls.task_run(run.id, task.id),
                "state": entry["state"],
                "duration": entry["run_duration"],
                "parameters": entry["parameters"],
                "metrics": {key: value[0] for key, value in entry["metrics"].items()},
                "values": _flat(final.values, entry["values"]) if final else {},
                "history": {
                    formats.text(m.key, 120): _history(m)
                    for m in (final.metrics.values() if final else ())
                    if len(m.values) > 1
                },
                "figures": [
                    {"name": f["path"], "src": f["image"]} for f in entry["files"] if f["image"]
                ],
            }
        )
    return orjson.dumps(
        {
            "id": run.id,
            "title": summary.heading(short),
            "href": Urls.run(run.id),
            "state": short["state"],
            "start": None if short["start"] is None else short["start"] / 1000,
            "duration": short["duration"],
            "context": context,
            "repository": short["repository"],
            "parameters": short["parameters"],
            "metrics": {key: value[0] for key, value in short["metrics"].items()},
            "tasks": tasks,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _flat(values: Mapping[str, Any], short: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the summary has them, but small mappings entry by entry: AUC of each digit."""
    found: dict[str, Any] = {}
    for key, value in short.items():
        parts = values.get(key)
        if isinstance(parts, Mapping) and 0 < len(parts) <= COMPARE_ENTRIES:
            entries = {
                f"{key} \N{MIDDLE DOT} {formats.text(name, 60)}": v for name, v in parts.items()
            }
            found |= summary.scalars(entries)
        else:
            found[key] = value
    return found


def _history(metric: Any) -> dict[str, list[float | None]]:
    stride = max(1, math.ceil(len(metric.values) / COMPARE_POINTS))
    picked = range(0, len(metric.values), stride)
    return {
        "x": [i if metric.steps[i] is None else float(metric.steps[i]) for i in picked],
        "y": [summary.finite(metric.values[i]) for i in picked],
    }
