"""The journal: OTLP export requests as they came off the wire, one checksummed frame each.

The collector keeps one per run in progress, the runner spools in the same form while the collector
is away, and late data lies beside a sealed run as one. A journal starts with :data:`MAGIC`; a
frame is ``signal (u8), length (u32), crc32 of signal, length and payload (u32)``, little-endian,
then the payload, a serialized ``Export…ServiceRequest``.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from spanbook_runfile.errors import NotARunFileError

MAGIC = b"spanbook journal 1\n"
SUFFIX = ".journal"
_HEAD = struct.Struct("<BI")
_CRC = struct.Struct("<I")


class Signal(IntEnum):
    """The OTLP signal of a frame."""

    TRACES = 1
    LOGS = 2
    METRICS = 3


def frame(signal: Signal, payload: bytes) -> bytes:
    """One frame, to be appended to a journal."""
    return frame_head(signal, payload) + payload


def frame_head(signal: Signal, payload: bytes) -> bytes:
    """What stands before the payload in its frame."""
    head = _HEAD.pack(signal, len(payload))
    return head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))


def read_frames(
    stream: BinaryIO, *, start: int = 0, max_frame: int = 1 << 28, growing: bool = False
) -> Iterator[tuple[Signal, bytes, int]]:
    """Every whole frame as (signal, payload, offset behind it), up to the torn end.

    A damaged one is passed over where a whole one stands behind it. Where the journal is
    ``growing`` it is the end: its writer may be just there. ``start`` is the offset behind a frame,
    to go on from there.

    Raises:
        NotARunFileError: the stream does not start with :data:`MAGIC`, or a newer version wrote it.
            An empty stream, or one cut within it, has no frames.
    """
    if start:
        stream.seek(start)
    else:
        magic = stream.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic) or not magic.strip(b"\0"):
                return  # a power cut can leave zeros where nothing was synced
            raise NotARunFileError(_foreign(stream, magic))
    offset = start or len(MAGIC)
    size = _HEAD.size + _CRC.size
    while len(head := stream.read(size)) == size:
        number, length = _HEAD.unpack_from(head)
        if length > max_frame or not number:  # zeros, where nothing was written
            return
        payload = stream.read(length)
        if len(payload) != length:
            return
        offset += size + length
        (crc,) = _CRC.unpack_from(head, _HEAD.size)
        if zlib.crc32(payload, zlib.crc32(head[: _HEAD.size])) != crc:
            if growing:
                return
            continue
        try:
            signal = Signal(number)
        except ValueError:
            raise NotARunFileError(
                f"{_name(stream)} has a frame of the unknown kind {number} before byte {offset}, "
                "from a newer version of spanbook. Read it with that one."
            ) from None
        yield signal, payload, offset


def _foreign(stream: BinaryIO, magic: bytes) -> str:
    if magic.startswith(MAGIC.rpartition(b" ")[0]):
        return (
            f"{_name(stream)} is of another version of spanbook: it starts with {magic!r}, and this "
            f"one reads {MAGIC!r}. Read it with the version that wrote it."
        )
    return f"{_name(stream)} is no spanbook journal: it starts with {magic!r}, not with {MAGIC!r}."


def _name(stream: BinaryIO) -> str:
    path = getattr(stream, "name", None)
    return Path(path).name if isinstance(path, str) else "This"


def whole_length(path: Path) -> int:
    """How many bytes of a journal are whole: where the next frame goes, and a torn tail is cut."""
    offset = 0
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) == MAGIC:
            offset = len(MAGIC)
        stream.seek(0)
        for *_, end in read_frames(stream):
            offset = end
    return offset
