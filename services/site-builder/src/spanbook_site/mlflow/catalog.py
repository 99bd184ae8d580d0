"""What spans runs: the experiments and their tables, kept up to date run by run.

A table is cut into chunks by month and size, so that a new run changes the last chunk of its tasks
and nothing else, and no file comes near the hosts' limits. A month's file lists its runs in order;
chunks are cut from that list alone, so any order of building gives the same bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from spanbook_site import formats
from spanbook_site.mlflow import columns
from spanbook_site.mlflow.records import SYSTEM, Record, Row
from spanbook_site.mlflow.urls import ALL, DATA, VIEW, data_of_run
from spanbook_site.mlflow.views import shared_view
from spanbook_site.output import Output

CHUNK_RUNS = 500  # pipeline runs
CHUNK_BYTES = 4 << 20  # of their rows before they are packed, all experiments together
MAX_VIEW_KEYS = 40  # columns of the shared view

Entry = list[Any]  # [run id, start in ms, bytes of its rows]
Json = dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """Runs whose ``run.json`` was written, or is gone, since the last build."""

    written: Mapping[str, int]  # run id → start in ms
    removed: Mapping[str, int]


def month_of(start: int) -> str:
    """The month that a run belongs to, ``2026-11``; ``start`` is in milliseconds."""
    return f"{formats.moment(start * 1_000_000):%Y-%m}"


def update(output: Output, changes: Changes) -> None:
    """Bring the tables and the list of experiments up to date with the runs' own files."""
    months = {month_of(start) for start in (*changes.written.values(), *changes.removed.values())}
    for month in sorted(months):
        _Month(output, month).update(changes)
    _write_experiments(output)


class _Month:
    def __init__(self, output: Output, month: str) -> None:
        self.output = output
        self.month = month
        self.address = f"{DATA}/months/{month}.json"
        self.before: Json = _read(output, self.address) or {
            "runs": [],
            "chunks": {},
            "experiments": {},
        }

    def update(self, changes: Changes) -> None:
        entries = {run: [run, start, size] for run, start, size in self.before["runs"]}
        for run in changes.removed:
            entries.pop(run, None)
        for run, start in changes.written.items():
            if month_of(start) == self.month:
                entries[run] = [
                    run,
                    start,
                    self.output.path(f"{data_of_run(run)}/run.json").stat().st_size,
                ]
        runs = sorted(entries.values(), key=lambda entry: (entry[1], entry[0]))
        chunks: Json = {}
        for number, members in enumerate(_cut(runs)):
            name = f"{self.month}-{number}"
            ids = [run for run, _, _ in members]
            old = self.before["chunks"].get(name)
            if old and old["runs"] == ids and not changes.written.keys() & set(ids):
                chunks[name] = old
            else:
                chunks[name] = self._write_chunk(name, ids, old or {"experiments": {}})
        for name in self.before["chunks"].keys() - chunks.keys():
            self._drop(name, self.before["chunks"][name]["experiments"])
        if runs:
            self.output.write_json(self.address, {"runs": runs, "chunks": chunks})
        else:
            self.output.path(self.address).unlink(missing_ok=True)

    def _write_chunk(self, name: str, ids: list[str], old: Json) -> Json:
        rows: dict[str, list[Row]] = {}
        for run in ids:
            for row in _rows(self.output, run):
                rows.setdefault(row["experiment"], []).append(row)
        self._drop(name, old["experiments"].keys() - rows.keys())
        experiments = {}
        for experiment, members in rows.items():
            self.output.write(_table(experiment, name), orjson.dumps(columns.pack(members)))
            experiments[experiment] = _summary(members)
        return {"runs": ids, "experiments": experiments}

    def _drop(self, name: str, experiments: Iterable[str]) -> None:
        for experiment in experiments:
            self.output.path(_table(experiment, name)).unlink(missing_ok=True)


def _cut(runs: list[Entry]) -> Iterator[list[Entry]]:
    members: list[Entry] = []
    size = 0
    for entry in runs:
        if members and (len(members) == CHUNK_RUNS or size + entry[2] > CHUNK_BYTES):
            yield members
            members, size = [], 0
        members.append(entry)
        size += entry[2]
    if members:
        yield members


def _summary(rows: list[Row]) -> Json:
    return {
        "name": rows[-1]["experiment_name"],
        "page": rows[-1]["experiment_page"],
        "rows": len(rows),
        "first": min(row["start"] for row in rows),
        "last": max(row["start"] for row in rows),
        "updated": max(row["end"] or row["start"] for row in rows),
        "metrics": sorted(
            {key for row in rows for key in row["metrics"] if not key.startswith(SYSTEM)}
        )[:MAX_VIEW_KEYS],
        "params": sorted({key for row in rows for key in row["params"]})[:MAX_VIEW_KEYS],
    }


def _write_experiments(output: Output) -> None:
    """Write the list that the pages start from: every experiment and its chunks, oldest first."""
    found: dict[str, Json] = {}
    for path in sorted(output.path(f"{DATA}/months").glob("*.json")):
        for name, chunk in orjson.loads(path.read_bytes())["chunks"].items():
            for experiment, part in chunk["experiments"].items():
                entry = found.setdefault(experiment, {"chunks": [], "metrics": [], "params": []})
                entry["chunks"].append(
                    {"name": name, **{key: part[key] for key in ("rows", "first", "last")}}
                )
                entry["created"] = min(entry.get("created", part["first"]), part["first"])
                entry["updated"] = max(entry.get("updated", part["updated"]), part["updated"])
                entry |= {"name": part["name"], "page": part["page"]}
                for kind in ("metrics", "params"):
                    entry[kind] = list(dict.fromkeys([*part[kind], *entry[kind]]))[:MAX_VIEW_KEYS]
    output.write_json(
        f"{DATA}/experiments.json",
        {
            "all": ALL,
            "experiments": [_experiment(key, entry) for key, entry in sorted(found.items())],
        },
    )


def _experiment(experiment: str, entry: Json) -> Json:
    chunks = sorted(entry["chunks"], key=lambda chunk: (chunk["first"], chunk["name"]))
    return {
        "id": experiment,
        "name": entry["name"],
        "page": entry["page"],
        "created": entry["created"],
        "updated": entry["updated"],
        "lifecycle": "active",
        "tags": {
            "mlflow.note.content": f"[Open in the pipeline monitor](../{entry['page']})",
            f"mlflow.sharedViewState.{VIEW}": shared_view(
                sorted(entry["metrics"]), sorted(entry["params"])
            ),
        },
        "chunks": chunks,
    }


def _table(experiment: str, chunk: str) -> str:
    return f"{DATA}/experiments/{experiment}/{chunk}.json"


def _rows(output: Output, run: str) -> list[Row]:
    found = _read(output, f"{data_of_run(run)}/run.json")
    return found["rows"] if found else []


def _read(output: Output, address: str) -> Json | None:
    try:
        return dict(orjson.loads(output.path(address).read_bytes()))
    except FileNotFoundError:
        return None


def run_file(
    records: Sequence[Record], histories: Mapping[str, str], pages: Mapping[str, str]
) -> bytes:
    """A run's ``run.json``: its rows, with what only the run's own page needs.

    ``histories`` maps MLflow run ids to the files of their samples, ``pages`` experiments to ours.
    """
    rows = []
    for record in records:
        row = record.row()
        row["experiment_name"] = record.experiment_name
        row["experiment_page"] = pages[record.experiment]
        row["artifacts"] = [list(artifact) for artifact in record.artifacts]
        if record.id in histories:
            row["history"] = histories[record.id]
        rows.append(row)
    return orjson.dumps({"rows": rows})
