"""What spans runs: the experiments and their tables, cut into chunks.

A chunk holds the runs of a month, at most :data:`CHUNK_RUNS` of them, so that a new run changes the
last chunk of its tasks and no file comes near the hosts' limits. Runs in progress have a chunk of
their own, since they change each second.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeAlias

import orjson

from spanbook_site import formats
from spanbook_site.memo import key_of
from spanbook_site.mlflow import columns
from spanbook_site.mlflow.modelled import Row
from spanbook_site.mlflow.records import SYSTEM
from spanbook_site.mlflow.urls import ALL, DATA, VIEW, data_of_run
from spanbook_site.mlflow.views import shared_view
from spanbook_site.output import Output

CHUNK_RUNS = 250  # pipeline runs
CHUNK_BYTES = 4 << 20  # of their rows before they are packed, all experiments together
MAX_VIEW_KEYS = 40  # columns of the shared view
MAX_DATASETS = 200  # of an experiment, in the list that its page offers
LIVE = "live"
DAY = 86_400_000  # ms

Json: TypeAlias = dict[str, Any]
Group: TypeAlias = Callable[[str, str, Output, Callable[[Output], Any]], None]


@dataclass(frozen=True)
class Entry:
    """One run that :func:`spanbook_site.mlflow.write_run` has written."""

    run: str
    start: int  # milliseconds since the epoch
    version: str  # changes when anything of the run does
    live: bool = False
    size: int = 0  # bytes of its rows, where that is known


def write(group: Group, output: Output, entries: Iterable[Entry]) -> None:
    """Bring the tables and the list of experiments up to date with the runs' own files.

    ``group`` is :meth:`spanbook_site.memo.Memo.group`: it lets a group of files be written anew
    only when its key changed.
    """
    chunks = dict(_chunks(output, sorted(entries, key=lambda entry: (entry.start, entry.run))))
    keys = {
        name: key_of(f"{entry.run} {entry.version}" for entry in members)
        for name, members in chunks.items()
    }
    for name, members in chunks.items():
        runs = [entry.run for entry in members]

        def write_chunk(part: Output, name: str = name, runs: list[str] = runs) -> None:
            _write_chunk(part, name, runs)

        group(f"mlflow/chunk/{name}", keys[name], output, write_chunk)
    names = sorted(chunks)
    group(
        "mlflow/experiments",
        key_of(names, (keys[name] for name in names)),
        output,
        lambda part: _write_experiments(part, names),
    )


def _chunks(output: Output, entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Chunks by name; they depend on the runs alone, not on the order in which they came."""
    sealed = [entry for entry in entries if not entry.live]
    for month, members in groupby(sealed, key=lambda entry: _month(entry.start // DAY)):
        for number, part in enumerate(_parts(output, members)):
            yield f"{month}-{number}", part
    if live := [entry for entry in entries if entry.live]:
        yield LIVE, live


def _parts(output: Output, entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = 0
    for entry in entries:
        weight = entry.size or output.path(f"{data_of_run(entry.run)}/run.json").stat().st_size
        if part and (len(part) == CHUNK_RUNS or size + weight > CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += weight
    if part:
        yield part


@lru_cache
def _month(day: int) -> str:
    """The month of a day since the epoch."""
    return f"{formats.moment(day * DAY * 1_000_000):%Y-%m}"


def _write_chunk(output: Output, name: str, runs: Sequence[str]) -> None:
    rows: dict[str, list[Row]] = {}
    for run in runs:
        content = orjson.loads(output.path(f"{data_of_run(run)}/run.json").read_bytes())
        for row in content["rows"]:
            rows.setdefault(row["experiment"], []).append(row)
    for experiment, members in rows.items():
        output.write(
            f"{DATA}/experiments/{experiment}/{name}.json", orjson.dumps(columns.pack(members))
        )
    output.write_json(
        _part_address(name), {experiment: _part(members) for experiment, members in rows.items()}
    )


def _part(rows: Sequence[Row]) -> Json:
    """What the list of experiments needs to know of the rows of one chunk."""
    metrics = {key for row in rows for key in row["metrics"] if not key.startswith(SYSTEM)}
    params = {key for row in rows for key in row["params"]}
    return {
        "name": rows[-1]["experiment_name"],
        "page": rows[-1]["experiment_page"],
        "rows": len(rows),
        "first": min(row["start"] for row in rows),
        "last": max(row["start"] for row in rows),
        "updated": max(row["end"] or row["start"] for row in rows),
        "models": any("models" in row for row in rows),
        "datasets": _datasets(rows),
        "metrics": sorted(metrics)[:MAX_VIEW_KEYS],
        "params": sorted(params)[:MAX_VIEW_KEYS],
    }


def _datasets(rows: Iterable[Row]) -> list[list[str]]:
    """Name, digest and context of the datasets that some runs used, those of the newest run first."""
    found: dict[tuple[str, str, str], None] = {}
    for row in sorted(rows, key=lambda row: -row["start"]):
        for used in row.get("inputs", {}).get("dataset_inputs", ()):
            tags = {tag["key"]: tag["value"] for tag in used["tags"]}
            dataset = used["dataset"]
            context = tags.get("mlflow.data.context", "")
            found[dataset["name"], dataset["digest"], context] = None
    return [list(each) for each in list(found)[:MAX_DATASETS]]


def _write_experiments(output: Output, chunks: Sequence[str]) -> None:
    """Write the list that the pages start from: every experiment, and its chunks."""
    parts: dict[str, list[tuple[str, Json]]] = {}
    for chunk in chunks:
        for experiment, part in orjson.loads(
            output.path(_part_address(chunk)).read_bytes()
        ).items():
            parts.setdefault(experiment, []).append((chunk, part))
    found = [_experiment(experiment, members) for experiment, members in sorted(parts.items())]
    output.write_json(f"{DATA}/experiments.json", {"all": ALL, "experiments": found})


def _experiment(experiment: str, parts: list[tuple[str, Json]]) -> Json:
    parts.sort(key=lambda item: (item[1]["last"], item[0]))
    newest = parts[-1][1]
    keys = {
        kind: sorted(
            list(dict.fromkeys(key for _, part in reversed(parts) for key in part[kind]))[
                :MAX_VIEW_KEYS
            ]
        )
        for kind in ("metrics", "params")
    }
    return {
        "id": experiment,
        "name": newest["name"],
        "page": newest["page"],
        "created": min(part["first"] for _, part in parts),
        "updated": max(part["updated"] for _, part in parts),
        "lifecycle": "active",
        "tags": {
            "mlflow.note.content": f"[Open in the pipeline monitor](../{newest['page']})",
            f"mlflow.sharedViewState.{VIEW}": shared_view(keys["metrics"], keys["params"]),
        },
        "datasets": list(
            dict.fromkeys(tuple(used) for _, part in reversed(parts) for used in part["datasets"])
        )[:MAX_DATASETS],
        "chunks": [
            {"name": chunk, **{key: part[key] for key in ("rows", "first", "last", "models")}}
            for chunk, part in parts
        ],
    }


def _part_address(chunk: str) -> str:
    return f"{DATA}/chunks/{chunk}.json"
