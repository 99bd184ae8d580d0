"""Files out of a zip that anybody may have made: what it says of its sizes is not believed."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import IO, Any

from spanbook_runfile.errors import NotAZipError, TooLargeError

_COMMON = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for any amount of memory
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # what zipfile itself raises at a version or a flag that it does not know
    RuntimeError,  # a password is wanted
    ValueError,
)
_MOST_LISTED = (
    4 << 20
)  # bytes of a zip's list of files: each of its entries is made an object at once


class _Guarded:
    """A file of which no more is read at once than ``most``, as long as there is one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.most: int | None = _MOST_LISTED

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        if self.most is not None and size > self.most:
            raise TooLargeError(
                f"The zip lists its files in {size:,} bytes; {self.most:,} are the most."
            )
        return self._stream.read(size)


def unzip(
    archive: PathLike[str] | IO[bytes], *, most: int, most_members: int, suffix: str = ""
) -> Iterator[tuple[str, bytes]]:
    """The files of a zip whose names end in ``suffix``, as (name, bytes); folders are left out.

    Args:
        archive: the zip, or its path.
        most: bytes that all of them may have together, unpacked; no more is read.
        most_members: how many there may be.
        suffix: how the names end.

    Raises:
        NotAZipError: it is no zip, a broken one, a protected one, or one of a rare kind.
        TooLargeError: too many files, or too many bytes.
    """
    try:
        with ExitStack() as stack:
            if isinstance(archive, (str, PathLike)):
                archive = stack.enter_context(Path(archive).open("rb"))
            guarded: Any = _Guarded(archive)
            opened = stack.enter_context(zipfile.ZipFile(guarded))
            guarded.most = None
            members = [
                m for m in opened.infolist() if not m.is_dir() and m.filename.endswith(suffix)
            ]
            if len(members) > most_members:
                raise TooLargeError(
                    f"The zip has {len(members):,} files; {most_members:,} are the most."
                )
            for member in members:
                if member.compress_type not in _COMMON:
                    raise zipfile.BadZipFile(f"compression {member.compress_type}")
                with opened.open(member) as stream:
                    content = stream.read(most + 1)
                most -= len(content)
                if most < 0:
                    raise TooLargeError("Unpacked, the zip is over the size limit.")
                yield member.filename, content
    except _FAULTS as error:
        raise NotAZipError(
            f"The zip cannot be read ({error}): make or download it again."
        ) from error


__all__ = ["unzip"]
