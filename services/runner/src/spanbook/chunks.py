"""The bytes of an artifact, from memory or from a disk, in pieces small enough for the wire."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spanbook_runfile import names


def digest(data: bytes | None, file: Path | None) -> tuple[int, str]:
    """Size and SHA-256 of bytes in memory or of a file."""
    if data is not None:
        return len(data), hashlib.sha256(data).hexdigest()
    if file is None:
        raise ValueError("An artifact needs data or a file.")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return os.fstat(stream.fileno()).st_size, digest


def chunks(data: bytes | None, file: Path | None, count: int) -> Iterator[bytes]:
    """``count`` chunks; a file that grew in the meantime is cut, one that shrank ends empty."""
    size = names.ARTIFACT_CHUNK_BYTES
    if data is not None:
        for index in range(count):
            yield data[index * size : (index + 1) * size]
        return
    assert file is not None
    stream: BinaryIO
    with file.open("rb") as stream:
        for _ in range(count):
            yield stream.read(size)
