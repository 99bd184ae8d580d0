"""Previews of files: tables, JSON trees, text heads and ONNX signatures, as plain data for templates.

Every preview reads a bounded part of an untrusted file; what cannot be read has none.
"""

import csv
import io
from dataclasses import dataclass, field
from typing import Any

import orjson

from spanbook_site import formats

MAX_BYTES = 64_000  # read for a text or CSV preview
MAX_ROWS, MAX_COLUMNS = 20, 30
MAX_PARQUET = 64 << 20  # bytes of a row group, unpacked, that is still read
MAX_JSON = 200_000


@dataclass(frozen=True)
class Preview:
    """What a template shows of a file: ``kind`` says which of the members count."""

    kind: str  # text | table | json | onnx
    text: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    value: Any = None


def text(data: bytes) -> Preview | None:
    """The head of a text; None where it is not UTF-8."""
    head = data[:MAX_BYTES]
    try:
        decoded = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES or error.start < len(head) - 4:
            return None
        decoded = head[: error.start].decode("utf-8")
    note = (
        f"The first {formats.size(MAX_BYTES)} of {formats.size(len(data))}."
        if len(data) > MAX_BYTES
        else ""
    )
    return Preview("text", text=formats.visible(decoded, lines=True), note=note)


def json_tree(data: bytes) -> Preview | None:
    """A JSON value to be shown as a tree; long ones as text."""
    if len(data) <= MAX_JSON:
        try:
            return Preview("json", value=orjson.loads(data))
        except orjson.JSONDecodeError:
            pass
    return text(data)


def delimited(data: bytes, separator: str) -> Preview | None:
    """The head of a CSV or TSV file."""
    head = text(data)
    if head is None:
        return None
    try:
        rows = list(csv.reader(io.StringIO(head.text), delimiter=separator))[: MAX_ROWS + 1]
    except csv.Error:
        return head
    if not rows:
        return head
    columns, *rows = [[formats.text(cell, 120) for cell in row[:MAX_COLUMNS]] for row in rows]
    lines = data.count(b"\n")
    note = f"The first {MAX_ROWS} of about {lines} rows." if len(rows) >= MAX_ROWS else ""
    return Preview("table", columns=columns, rows=rows, note=note)


def parquet(data: bytes) -> Preview | None:
    """The schema and first rows of a Parquet file."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and seldom needed
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        schema = file.schema_arrow
        columns = [f"{formats.text(f.name, 60)} ({f.type})" for f in list(schema)[:MAX_COLUMNS]]
        rows: list[list[str]] = []
        if file.num_row_groups and file.metadata.row_group(0).total_byte_size <= MAX_PARQUET:
            batch = next(
                file.iter_batches(batch_size=MAX_ROWS, columns=schema.names[:MAX_COLUMNS]), None
            )
            found = batch.to_pylist() if batch else []
            rows = [[formats.number(value) for value in row.values()] for row in found]
    except (pa.ArrowException, OSError, ValueError, TypeError, UnicodeDecodeError):
        return None
    note = f"{file.metadata.num_rows:,} rows, {len(schema.names)} columns."
    return Preview("table", columns=columns, rows=rows, note=note)


def onnx(data: bytes) -> Preview | None:
    """The inputs and outputs of an ONNX model, as rows of side, name, type and shape."""
    from spanbook_site import models  # noqa: PLC0415 - brings protobuf

    try:
        rows, note = models.head(data)
    except ValueError:
        return None
    shown = [[formats.text(cell, 80) for cell in row] for row in rows[:40]]
    return Preview(
        "onnx",
        columns=["", "name", "type", "shape"],
        rows=shown,
        note=formats.text(f"ONNX, {note}."),
    )
