"""Folders for sockets and logs, gone when their process is: at its end, or at the next one's start."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "spanbook-"
_LOCK: Final = "owner.lock"  # held by the process that made the folder, however long it lives

# Sockets lie in it, whose paths may have 107 characters only: not the system's long TMPDIR.
_PARENT: Final = Path("/tmp" if sys.platform == "darwin" else tempfile.gettempdir())  # noqa: S108


class Scratch:
    """A temporary folder of this process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_PARENT))
        lock = self.path / "lock"
        self._lock = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        lock.rename(self.path / _LOCK)  # a sweep sees it only now that it is held

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def sweep() -> None:
    """Remove what processes that were killed have left: folders of this user whose lock nobody holds."""
    for lock in _PARENT.glob(f"{PREFIX}*/{_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or gone in this moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.getuid():
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue  # its process lives
        finally:
            os.close(descriptor)
