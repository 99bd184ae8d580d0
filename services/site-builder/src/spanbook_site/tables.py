"""Runs, tasks, metrics and parameters as Parquet and CSV, for pandas, Polars, DuckDB and spreadsheets.

A build reads the last build's files back and replaces the rows of the runs that changed, so that
one new run costs a columnar copy and not a reading of every summary.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from spanbook_site.output import Output, version_of
from spanbook_site.summary import Summary, is_main

log = logging.getLogger("spanbook_site")
KEY = b"spanbook.runs"  # in the schema's metadata: a digest of the runs that the file holds
VERSION = 1
BLOCK = 1 << 26  # bytes of JSON that are parsed at once; no row is as large
_TIME = pa.timestamp("ms", tz="UTC")
SCHEMAS = {
    "runs": pa.schema(
        [
            ("run", pa.string()),
            ("pipeline", pa.string()),
            ("state", pa.string()),
            ("start", _TIME),
            ("duration", pa.float64()),
            ("trigger", pa.string()),
            ("branch", pa.string()),
            ("commit", pa.string()),
            ("commit_title", pa.string()),
            ("change", pa.string()),
            ("actor", pa.string()),
            ("main", pa.bool_()),
            ("tasks", pa.int32()),
            ("tasks_ok", pa.int32()),
            ("tasks_failed", pa.int32()),
            ("tasks_skipped", pa.int32()),
            ("reason", pa.string()),
        ]
    ),
    "tasks": pa.schema(
        [
            ("run", pa.string()),
            ("task", pa.string()),
            ("name", pa.string()),
            ("label", pa.string()),
            ("type", pa.string()),
            ("state", pa.string()),
            ("start", _TIME),
            ("duration", pa.float64()),
            ("run_duration", pa.float64()),
            ("attempts", pa.int32()),
            ("error", pa.string()),
        ]
    ),
    "metrics": pa.schema(
        [
            ("run", pa.string()),
            ("task", pa.string()),
            ("name", pa.string()),
            ("label", pa.string()),
            ("key", pa.string()),
            ("last", pa.float64()),
            ("min", pa.float64()),
            ("max", pa.float64()),
            ("points", pa.int64()),
        ]
    ),
    "parameters": pa.schema(
        [
            ("run", pa.string()),
            ("task", pa.string()),
            ("name", pa.string()),
            ("label", pa.string()),
            ("key", pa.string()),
            ("value", pa.string()),
            ("number", pa.float64()),
        ]
    ),
}
WITH_CSV = ("runs", "tasks")


def write(
    output: Output,
    *,
    order: Sequence[str],
    changed: Iterable[str],
    before: tuple[str, Mapping[str, str]] | None,
    key: str,
    summary: Callable[[str], Summary],
    main: Sequence[str],
) -> None:
    """Write the tables of the runs in ``order``.

    Args:
        output: where to.
        order: every run's id, oldest first.
        changed: runs whose rows must be made anew, or are gone.
        before: the digest that the last build's tables bear, and their files' versions, if they can be built upon.
        key: the digest of these runs.
        summary: gives a run's summary.
        main: branches that count as main.
    """
    old = _read(output.root, before[0]) if before else None
    anew = set(changed) if old else set(order)
    wanted = [run for run in order if run in anew]
    rows = _rows(wanted, summary, main)
    newest = list(order[len(order) - len(wanted) :]) == wanted
    place = None if newest else _column(order)
    for name, schema in SCHEMAS.items():
        table = added = _table(rows[name], schema)
        grown = False
        if old:
            gone = pc.is_in(old[name]["run"], _column(sorted(anew)))
            grown = newest and not pc.any(gone).as_py()
            kept = old[name] if grown else old[name].filter(pc.invert(gone))
            table = pa.concat_tables([kept.cast(schema), table])
            if place is not None:
                rank = pa.table({"rank": pc.index_in(table["run"], place)})
                table = table.take(pc.sort_indices(rank, [("rank", "ascending")]))
        _write_parquet(output, name, table.combine_chunks(), key)
        if name in WITH_CSV:
            head = _text_before(output.root, name, before[1]) if before and grown else b""
            _write_csv(output, name, added if head else table, head)


def _rows(
    runs: Sequence[str], summary: Callable[[str], Summary], main: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    for run in map(summary, runs):
        counts = run["counts"]
        rows["runs"].append(
            {
                **{key: run[key] for key in SCHEMAS["runs"].names if key in run and key != "tasks"},
                "run": run["id"],
                "main": is_main(run, main),
                "tasks": counts["total"],
                "tasks_ok": counts["ok"],
                "tasks_failed": counts["failed"],
                "tasks_skipped": counts["skipped"],
            }
        )
        _add_recorded(rows, run, {"run": run["id"], "task": None, "name": None, "label": None})
        for task in run["tasks"]:
            who = {
                "run": run["id"],
                "task": task["id"],
                "name": task["name"],
                "label": task["label"],
            }
            rows["tasks"].append(
                {**{key: task[key] for key in SCHEMAS["tasks"].names if key in task}, **who}
            )
            _add_recorded(rows, task, who)
    return rows


def _add_recorded(
    rows: dict[str, list[dict[str, Any]]], item: Summary, who: dict[str, Any]
) -> None:
    for key, (last, low, high, points) in item["metrics"].items():
        rows["metrics"].append(
            {**who, "key": key, "last": last, "min": low, "max": high, "points": points}
        )
    for key, value in (item.get("values") or {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            rows["metrics"].append(
                {**who, "key": key, "last": value, "min": value, "max": value, "points": 1}
            )
    for key, value in item["parameters"].items():
        number = (
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        )
        rows["parameters"].append(
            {**who, "key": key, "value": None if value is None else str(value), "number": number}
        )


def _table(rows: Sequence[dict[str, Any]], schema: Any) -> Any:
    """Rows as a table, by way of JSON: ``pa.array`` and its like import pandas where it is."""
    if not rows:
        return schema.empty_table()
    plain = [
        field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field
        for field in schema
    ]
    lines = b"\n".join(orjson.dumps(row) for row in rows)
    table = pa_json.read_json(
        pa.BufferReader(lines),
        read_options=pa_json.ReadOptions(block_size=min(len(lines) + 1, BLOCK)),
        parse_options=pa_json.ParseOptions(
            explicit_schema=pa.schema(plain), unexpected_field_behavior="ignore"
        ),
    )
    return table.cast(schema)


def _column(texts: Sequence[str]) -> Any:
    rows = [{"run": text} for text in texts]
    return _table(rows, pa.schema([("run", pa.string())]))["run"].combine_chunks()


def _read(root: Path, key: str) -> dict[str, Any] | None:
    """The last build's tables, if they are all there and of those runs."""
    tables = {}
    for name, schema in SCHEMAS.items():
        try:
            # not pq.read_table: it imports pyarrow.dataset, a third of a second
            with pq.ParquetFile(root / "data" / f"{name}.parquet") as file:
                table = file.read()
        except (OSError, pa.ArrowException) as error:
            log.info("data/%s.parquet cannot be built upon: %s", name, error)
            return None
        if (table.schema.metadata or {}).get(
            KEY
        ) != key.encode() or table.schema.names != schema.names:
            return None
        tables[name] = table.replace_schema_metadata(None)
    return tables


def _write_parquet(output: Output, name: str, table: Any, key: str) -> None:
    sink = pa.BufferOutputStream()
    marked = table.replace_schema_metadata({KEY: key, b"spanbook.version": str(VERSION)})
    pq.write_table(marked, sink, compression="zstd", use_dictionary=False, row_group_size=1 << 17)
    output.write(f"data/{name}.parquet", sink.getvalue().to_pybytes())


def _write_csv(output: Output, name: str, table: Any, head: bytes) -> None:
    """A table as text, or what comes after ``head``."""
    text = pa.BufferOutputStream()
    pa_csv.write_csv(_plain(table), text, pa_csv.WriteOptions(include_header=not head))
    output.write(f"data/{name}.csv", head + text.getvalue().to_pybytes())


def _text_before(root: Path, name: str, versions: Mapping[str, str]) -> bytes:
    """The last build's CSV, or nothing where someone else wrote to it since."""
    address = f"data/{name}.csv"
    try:
        found = (root / address).read_bytes()
    except OSError:
        return b""
    return found if version_of(found) == versions.get(address) else b""


def _plain(table: Any) -> Any:
    """The table with no text that a spreadsheet would take for a formula."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            quoted = pc.replace_substring_regex(
                table.column(index), pattern=r"^([=+\-@\t\r])", replacement=r"'\1"
            )
            table = table.set_column(index, field, quoted)
    return table
