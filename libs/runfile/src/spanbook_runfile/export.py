"""A run file as three OTLP JSON Lines files, one a signal, that other tools read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from spanbook_runfile.decode import dump, load
from spanbook_runfile.journal import Signal
from spanbook_runfile.values import list_of

Object = dict[str, Any]
MAX_ITEMS = 512  # of one line or request, as the SDKs' exporters send
MAX_BYTES = 2 << 20  # of one line or request, well under every receiver's limit


class Section(NamedTuple):
    """Where a signal's items stand in OTLP JSON, and what its file and HTTP path are called."""

    name: str
    top: str
    group: str
    items: str


SECTIONS = {
    Signal.TRACES: Section("traces", "resourceSpans", "scopeSpans", "spans"),
    Signal.LOGS: Section("logs", "resourceLogs", "scopeLogs", "logRecords"),
    Signal.METRICS: Section("metrics", "resourceMetrics", "scopeMetrics", "metrics"),
}


def requests(whole: Object, section: Section) -> Iterator[tuple[bytes, int]]:
    """One signal as export requests in JSON, of bounded size unless one item is larger.

    Yields:
        The request, and how many spans, log records or metrics it holds.
    """
    for block in objects(whole.get(section.top)):
        for group in objects(block.get(section.group)):
            outer = {k: v for k, v in block.items() if k != section.group}
            inner = {k: v for k, v in group.items() if k != section.items}
            held: list[bytes] = []
            size = 0
            for item in map(dump, objects(group.get(section.items))):
                if held and (len(held) == MAX_ITEMS or size + len(item) > MAX_BYTES):
                    yield _request(section, outer, inner, held), len(held)
                    held, size = [], 0
                held.append(item)
                size += len(item)
            if held:
                yield _request(section, outer, inner, held), len(held)


def objects(value: object) -> Iterator[Object]:
    """The JSON objects of a list; nothing where it is none."""
    return (item for item in list_of(value) if isinstance(item, dict))


def _request(section: Section, outer: Object, inner: Object, items: list[bytes]) -> bytes:
    content = orjson.Fragment(b"[" + b",".join(items) + b"]")
    groups = [{**inner, section.items: content}]
    return dump({section.top: [{**outer, section.group: groups}]})


def export(path: Path, folder: Path) -> dict[Path, int]:
    """Write ``traces.jsonl``, ``logs.jsonl`` and ``metrics.jsonl`` of a run file into a folder.

    They take the place of older ones once all three are whole.

    Returns:
        File → number of spans, log records or metrics in it.

    Raises:
        NotARunFileError: the file is none.
        OSError: a file cannot be read or written.
    """
    whole = load(path.read_bytes(), name=path.name)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        for section in SECTIONS.values():
            total = 0
            with (Path(aside) / section.name).open("wb") as stream:
                for line, count in requests(whole, section):
                    stream.write(line + b"\n")
                    total += count
            written[folder / f"{section.name}.jsonl"] = total
        for target in written:
            (Path(aside) / target.stem).replace(target)
    return written
