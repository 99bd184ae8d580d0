"""A run file without the bytes of its artifacts, or less: what a site keeps of a run that is too old for all."""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from spanbook_runfile import names
from spanbook_runfile.decode import dump, load
from spanbook_runfile.digest import SEALED, digest_of, is_whole
from spanbook_runfile.errors import NotARunFileError, TooLargeError

SUFFIX = ".trimmed.json.gz"
RESULTS = frozenset(
    {
        names.Event.RUN_STARTED,
        names.Event.TASK_DECLARED,
        names.Event.ATTEMPT_STARTED,
        names.Event.PARAMETER,
        names.Event.TAG,
        names.Event.VALUE,
        names.Event.METRIC,
        names.Event.METRIC_BATCH,
        names.Event.CHILD,
        names.Event.EXCEPTION,
    }
)  # what a stub keeps of the log


class Original(NamedTuple):
    """The run file that was trimmed: its ``sha256:…`` and its bytes."""

    digest: str
    size: int


def trim(content: bytes) -> bytes:
    """A run file's bytes → those of a trimmed one, gzipped; the same in, the same out.

    Spans, logs, metrics and what artifacts are called stay; their bytes go. The seal says so, and
    holds the digest and size of the whole file.

    Raises:
        NotARunFileError: it is none, is not sealed, or is nested deeper than OTLP is.
    """

    def lean(record: dict[str, Any]) -> bool:
        if record.get("eventName") == names.Event.ARTIFACT:
            record.pop("body", None)
        return True

    return _sealed(load(content), lean, _note(content))


def stub(content: bytes) -> bytes:
    """A run file's bytes, or those of a trimmed one → those of a stub, gzipped: spans and results.

    What was printed, artifacts, stack traces, samples of CPU and memory, and what traces of
    libraries said go too. A stub of a stub is the same.

    Raises:
        NotARunFileError: it is none, or is not sealed.
    """

    def least(record: dict[str, Any]) -> bool:
        attributes = record.get("attributes")
        if isinstance(attributes, list):
            record["attributes"] = [a for a in attributes if not _is_stack(a)]
        return record.get("eventName") in RESULTS

    whole = load(content)
    whole["resourceMetrics"] = []
    return _sealed(whole, least, _note(content) | {"stub": True})


def is_stub(content: bytes) -> bool:
    """Whether a sealed file's bytes are those of a stub."""
    return _trimmed(content).get("stub") is True


def unpack(packed: bytes, most: int, *, name: str = "the input") -> bytes:
    """The run file's bytes of a gzipped one, at most ``most``.

    Raises:
        NotARunFileError: it is not gzip, or cut short.
        TooLargeError: it holds more.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NotARunFileError(f"{name} is not gzip, or cut short: {error}.") from error
    if not content:
        raise NotARunFileError(f"{name} is empty.")
    if len(content) > most:
        raise TooLargeError(f"{name} unpacks to more than {most:,} bytes.")
    return content


def original_of(content: bytes) -> Original | None:
    """What a trimmed file says of the file it was made from; None for one that is whole."""
    try:
        note = _trimmed(content)
        return Original(str(note["digest"]), int(note["size"]))
    except (ValueError, KeyError, TypeError):
        return None


def _trimmed(content: bytes) -> dict[str, Any]:
    """What the seal says of the trimming; empty for a file that is whole."""
    try:
        note = orjson.loads(content.rpartition(SEALED)[2].rstrip()[:-1])["trimmed"]
    except (ValueError, KeyError, TypeError):
        return {}
    return note if isinstance(note, dict) else {}


def _note(content: bytes) -> dict[str, Any]:
    known = original_of(content)
    found = known or Original(digest_of(content), len(content))
    return {"digest": found.digest, "size": found.size}


def _sealed(
    whole: dict[str, Any], keeps: Callable[[dict[str, Any]], bool], trimmed: dict[str, Any]
) -> bytes:
    """A run file with those log records that are to be kept, sealed anew and gzipped."""
    note = whole.get("spanbook")
    if not isinstance(note, dict):
        raise NotARunFileError("It is not sealed: it has no member 'spanbook'.")
    for block in _lists(whole.get("resourceLogs")):
        for scope in _lists(block.get("scopeLogs")):
            if "logRecords" in scope:
                scope["logRecords"] = [r for r in _lists(scope["logRecords"]) if keeps(r)]
    body = dump({key: value for key, value in whole.items() if key != "spanbook"})[:-1]
    sealed = note | {"trimmed": trimmed, "digest": digest_of(body)}
    return gzip.compress(body + SEALED + orjson.dumps(sealed) + b"}\n", 9, mtime=0)


def _is_stack(attribute: object) -> bool:
    return isinstance(attribute, dict) and attribute.get("key") == names.EXCEPTION_STACKTRACE


def _lists(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


__all__ = [
    "SUFFIX",
    "Original",
    "digest_of",
    "is_stub",
    "is_whole",
    "original_of",
    "stub",
    "trim",
    "unpack",
]
