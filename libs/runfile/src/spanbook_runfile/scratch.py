"""The JSON of a merge's items, kept as it comes and read again in order.

It lies in a file, or in memory where none is given. The bytes of an artifact stay in the journal
that they came from, and become base64 only when they are read: written twice and read twice they
would take most of the time of a seal.
"""

import errno
import functools
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import pybase64

_PAGE = 1 << 16  # bytes that are read for the sake of one item
_PAGES = 256
_PART = 3 << 20  # bytes that become base64 at once; three bytes are four characters


class Hole(NamedTuple):
    """Bytes that stay in a journal: which, from where on, and how many."""

    journal: Path
    offset: int
    length: int


class Scratch:
    """Items' JSON, by its offset; where a :class:`Hole` is, its base64 comes in between."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self.size = 0
        self._stream = BytesIO() if stream is None else stream
        self._holes: list[Hole] = []
        self._at: list[int] = []  # where each hole is; they come in order

    def write(self, texts: Sequence[bytes]) -> None:
        """Add texts at the end."""
        self._stream.writelines(texts)
        self.size += sum(map(len, texts))

    def leave(self, at: int, hole: Hole) -> None:
        """Have a hole at an offset that lies behind the last one's."""
        self._at.append(at)
        self._holes.append(hole)

    def reading(self) -> "Reading":
        """Read what is there, in a ``with`` block."""
        return Reading(self._stream, self._at, self._holes)


class Reading:
    """Reads a scratch file, and the journals that it leaves bytes in, until it is closed."""

    def __init__(self, stream: BinaryIO, at: list[int], holes: list[Hole]) -> None:
        self._at = at
        self._holes = holes
        self._journals: dict[Path, int] = {}
        self._read: Callable[[int, int], bytes]
        if isinstance(stream, BytesIO):
            content = stream.getvalue()
            self._read = lambda begin, end: content[begin:end]
        else:
            stream.flush()
            self._handle = stream.fileno()
            self._read = self._read_file
        # spans come by their end and go by their start: nearly in order
        self._page = functools.lru_cache(_PAGES)(self._read_page)

    def __enter__(self) -> "Reading":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._journals:
            os.close(self._journals.popitem()[1])

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """What stands from one offset to another, its holes filled.

        Raises:
            OSError: it cannot be read, or not all of it is there any more.
        """
        number = bisect_left(self._at, begin)
        while number < len(self._at) and self._at[number] < end:
            yield self._read(begin, self._at[number])
            begin = self._at[number]
            yield from self._filled(self._holes[number])
            number += 1
        yield self._read(begin, end)

    def _filled(self, hole: Hole) -> Iterator[bytes]:
        if hole.journal not in self._journals:
            self._journals[hole.journal] = os.open(hole.journal, os.O_RDONLY | os.O_CLOEXEC)
        handle = self._journals[hole.journal]
        end = hole.offset + hole.length
        for begin in range(hole.offset, end, _PART):
            yield pybase64.b64encode(_exactly(handle, begin, min(end, begin + _PART)))

    # By reads, not through a memory map: those pages would count as ours, and an error of the disk
    # would end the process.

    def _read_page(self, number: int) -> bytes:
        return os.pread(self._handle, _PAGE, number * _PAGE)

    def _read_file(self, begin: int, end: int) -> bytes:
        number, at = divmod(begin, _PAGE)
        if end - begin <= _PAGE - at:
            content = self._page(number)[at : at + end - begin]
            if len(content) == end - begin:
                return content
        return _exactly(self._handle, begin, end)


def _exactly(handle: int, begin: int, end: int) -> bytes:
    content = os.pread(handle, end - begin, begin)
    if len(content) != end - begin:
        raise OSError(errno.EIO, f"the file has no {end - begin} bytes at {begin}")
    return content
