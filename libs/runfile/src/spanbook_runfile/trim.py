"""A run file without the bytes of its artifacts: what a site keeps of a run that is too old for them."""

import gzip
import io
import zlib
from typing import Any, NamedTuple

import orjson

from spanbook_runfile import names
from spanbook_runfile.decode import load
from spanbook_runfile.digest import SEALED, digest_of, is_whole
from spanbook_runfile.errors import NotARunFileError, TooLargeError

SUFFIX = ".trimmed.json.gz"


class Original(NamedTuple):
    """The run file that was trimmed: its ``sha256:…`` and its bytes."""

    digest: str
    size: int


def trim(content: bytes) -> bytes:
    """A run file's bytes → those of a trimmed one, gzipped; the same in, the same out.

    Spans, logs, metrics and what artifacts are called stay; their bytes go. The seal says so, and
    holds the digest and size of the whole file.

    Raises:
        NotARunFileError: it is none, or is not sealed.
    """
    whole = load(content)
    note = whole.get("spanbook")
    if not isinstance(note, dict):
        raise NotARunFileError("It is not sealed: it has no member 'spanbook'.")
    for block in _lists(whole.get("resourceLogs")):
        for scope in _lists(block.get("scopeLogs")):
            for record in _lists(scope.get("logRecords")):
                if record.get("eventName") == names.Event.ARTIFACT:
                    record.pop("body", None)
    body = orjson.dumps({key: value for key, value in whole.items() if key != "spanbook"})[:-1]
    original = {"digest": digest_of(content), "size": len(content)}
    sealed = note | {"trimmed": original, "digest": digest_of(body)}
    return gzip.compress(body + SEALED + orjson.dumps(sealed) + b"}\n", 9, mtime=0)


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
        note = orjson.loads(content.rpartition(SEALED)[2].rstrip()[:-1])
        return Original(str(note["trimmed"]["digest"]), int(note["trimmed"]["size"]))
    except (ValueError, KeyError, TypeError):
        return None


def _lists(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


__all__ = ["SUFFIX", "Original", "digest_of", "is_whole", "original_of", "trim", "unpack"]
