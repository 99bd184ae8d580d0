"""A run file, or the journal of a run in progress, as a :class:`~spanbook_runfile.model.Run`.

The input is untrusted. What is not as it should be is passed over and told in ``Run.problems``;
only bytes that are no run file at all raise.
"""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from spanbook_runfile.decoder import Decoder
from spanbook_runfile.errors import NotARunFileError, TooLargeError
from spanbook_runfile.model import Json, Run
from spanbook_runfile.names import SealReason
from spanbook_runfile.values import Object, attributes_of, dict_of, list_of, text_of, value_of


def read_run(path: Path, *, max_bytes: int = 1 << 30) -> Run:
    """Read a sealed run file.

    Raises:
        NotARunFileError: the file is empty, not JSON, or no run file.
        TooLargeError: it is larger than ``max_bytes``.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise TooLargeError(
            f"{path.name} has {size:,} bytes, over the limit of {max_bytes:,} for one run file. "
            "Raise the limit if you trust the file."
        )
    return parse_run(path.read_bytes(), name=path.name)


def parse_run(content: bytes, *, name: str = "the input") -> Run:
    """Parse a run file's bytes; ``name`` is for the error messages.

    Raises:
        NotARunFileError: as for :func:`read_run`.
    """
    with no_collection():
        return run_of(load(content, name=name))


def run_of(whole: Object) -> Run:
    """The run of a run file that was loaded already."""
    decoder = Decoder()
    for section, group, items, add in (
        ("resourceSpans", "scopeSpans", "spans", decoder.add_span),
        ("resourceLogs", "scopeLogs", "logRecords", decoder.add_record),
        ("resourceMetrics", "scopeMetrics", "metrics", decoder.add_metric),
    ):
        for resource, item in _section(whole.get(section), group, items):
            add(resource, item)
    note = whole.get("spanbook")
    return decoder.run(
        run_id=text_of(dict_of(note).get("runId")),
        note=note if isinstance(note, dict) else None,
    )


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage meanwhile: it would go over a million new objects again and again.

    There is none to be found, as nothing here refers to itself; it takes three quarters of the
    time of reading a large file otherwise.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(content: bytes, *, name: str = "the input") -> Object:
    """A run file's bytes as JSON.

    Raises:
        NotARunFileError: it is empty, not JSON, or has no ``resourceSpans``.
    """
    if not content.strip():
        raise NotARunFileError(f"{name} is empty: the run was never written to it.")
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise NotARunFileError(
            f"{name} is not JSON ({error}): it is cut short, or not a run file."
        ) from error
    if not isinstance(whole, dict) or not isinstance(whole.get("resourceSpans"), list):
        raise NotARunFileError(
            f"{name} is JSON but no run file: it has no list 'resourceSpans' on top."
        )
    return whole


def dump(value: object) -> bytes:
    """What was loaded as JSON again.

    Raises:
        NotARunFileError: it is nested deeper than any OTLP is.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:  # 254 levels are the most; it reads a thousand
        raise NotARunFileError(f"The file holds what is no OTLP: {error}.") from error


def read_journal(path: Path, run_id: str) -> Run:
    """Read a run in progress from its journal, as far as it has come.

    Raises:
        NotARunFileError: it is no journal.
        OSError: it cannot be read.
    """
    from spanbook_runfile.merge import Merge  # noqa: PLC0415 - brings protobuf, which a run file needs not

    return replace(parse_run(Merge.of_journal(path, run_id).seal(SealReason.IDLE)), seal=None)


def _section(blocks: object, group: str, items: str) -> Iterator[tuple[dict[str, Json], Object]]:
    for block in list_of(blocks):
        resource = attributes_of(dict_of(dict_of(block).get("resource")).get("attributes"))
        for part in list_of(dict_of(block).get(group)):
            for item in list_of(dict_of(part).get(items)):
                if isinstance(item, dict):
                    yield resource, item


__all__ = [
    "Decoder",
    "attributes_of",
    "dump",
    "load",
    "parse_run",
    "read_journal",
    "read_run",
    "value_of",
]
