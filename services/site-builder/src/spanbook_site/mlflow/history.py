"""Metric histories as files: up to 320 points of each for charts, longer ones whole and apart."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from spanbook_site.mlflow.forms import value_json
from spanbook_site.mlflow.records import Point, Record, digest

SAMPLE = 320  # points that the UI asks for
PART_BYTES = 1 << 20  # the samples of a run are packed into files of about this size


def sample(points: Sequence[Point], size: int = SAMPLE) -> list[Point]:
    """At most ``size`` points of an ordered history, the last always among them.

    As MLflow's SQL store does it: the first point of each of ``size`` buckets (SQL's NTILE), the
    last of them replaced by the last point of all.
    """
    if len(points) <= size:
        return list(points)
    small, larger = divmod(len(points), size)
    starts = itertools.accumulate(
        (small + (bucket < larger) for bucket in range(size - 1)), initial=0
    )
    picked = [points[start] for start in starts]
    picked[-1] = points[-1]
    return picked


def columns(points: Iterable[Point]) -> dict[str, list[Any]]:
    """Points as three columns; times as differences, since they are large and near each other."""
    out: dict[str, list[Any]] = {"step": [], "time": [], "value": []}
    before = 0
    for step, time, value in points:
        out["step"].append(step)
        out["time"].append(time - before)
        out["value"].append(value_json(value))
        before = time
    return out


def files(records: Iterable[Record], *, trimmed: bool) -> tuple[dict[str, bytes], dict[str, str]]:
    """The history files of one pipeline run.

    Metrics of one point need none: their point is in the run's row. ``trimmed`` leaves the full
    histories out.

    Returns:
        File name → content, and MLflow run id → the file that holds its samples.
    """
    written: dict[str, bytes] = {}
    where: dict[str, str] = {}
    part: dict[str, Any] = {}
    size = 0
    for record in records:
        sampled: dict[str, Any] = {}
        for key, points in record.histories.items():
            if len(points) < 2:
                continue
            sampled[key] = columns(sample(points))
            if len(points) > SAMPLE:
                sampled[key]["total"] = len(points)
                if not trimmed:
                    name = f"full-{digest(f'{record.id} {key}')}.json"
                    written[name] = orjson.dumps(columns(points))
                    sampled[key]["full"] = name
        if not sampled:
            continue
        part[record.id] = sampled
        where[record.id] = f"metrics-{len([n for n in written if n.startswith('metrics-')])}.json"
        size += len(orjson.dumps(sampled))
        if size > PART_BYTES:
            written[where[record.id]] = orjson.dumps(part)
            part, size = {}, 0
    if part:
        written[where[next(iter(part))]] = orjson.dumps(part)
    return written, where


__all__ = ["SAMPLE", "columns", "files", "sample"]
