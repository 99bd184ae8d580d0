"""All that the collector asks of a file system, in one place: tests make each call fail."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from spanbook_runfile.disk import sync_folder

if sys.platform == "darwin":
    import fcntl

    def _sync(handle: int) -> None:
        """Push a file to the platter: macOS' fsync stops at the drive's cache."""
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
else:
    _sync = os.fdatasync  # the size is written too where it changed; times need not be


_PARTS_AT_ONCE = 512  # IOV_MAX is 1024


class Disk:
    """The real file system; every method raises OSError as the system does."""

    def open(self, path: Path) -> int:
        """Open a journal to read and append, made if it is not there."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, handle: int, parts: Sequence[bytes], offset: int) -> None:
        """Write all the parts, one after the other, from ``offset`` on."""
        for first in range(0, len(parts), _PARTS_AT_ONCE):
            some = parts[first : first + _PARTS_AT_ONCE]
            done, whole = os.pwritev(handle, some, offset), sum(map(len, some))
            rest = memoryview(b"".join(some))[done:] if done < whole else memoryview(b"")
            while rest:  # a nearly full disk takes a part, and fails the next call
                rest = rest[os.pwrite(handle, rest, offset + whole - len(rest)) :]
            offset += whole

    def read(self, handle: int, length: int, offset: int) -> bytes:
        """Read up to ``length`` bytes at ``offset``."""
        return os.pread(handle, length, offset)

    def truncate(self, handle: int, length: int) -> None:
        """Cut a file to ``length`` bytes."""
        os.ftruncate(handle, length)

    def sync(self, handle: int) -> None:
        """Return when the file's content is on stable storage."""
        _sync(handle)

    def sync_folder(self, folder: Path) -> None:
        """Return when the folder's entries are on stable storage."""
        sync_folder(folder)

    def close(self, handle: int) -> None:
        """Close a file."""
        os.close(handle)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def free(self, folder: Path) -> int:
        """How many bytes can still be written under ``folder``."""
        return shutil.disk_usage(folder).free
