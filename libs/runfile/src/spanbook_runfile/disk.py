"""Run files on a disk: whole under their name, or not at all."""

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

_AT_ONCE = 8 << 20  # bytes that are written before they are synced


def write_run_file(folder: Path, run_id: str, content: bytes) -> Path:
    """Write a run file aside, fsync it, make it read-only and rename it into place.

    Raises:
        OSError: the disk refused; nothing bears the run file's name then.
    """

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    return write_aside(folder, run_id, write)


def write_aside(folder: Path, run_id: str, write: Callable[[BinaryIO], None]) -> Path:
    """As :func:`write_run_file`, for content that is written piece by piece."""
    target = folder / f"{run_id}.json"
    aside = folder / f".{run_id}.{os.getpid()}.tmp"
    try:
        with aside.open("wb") as stream:
            with _Steady(stream) as steady:
                write(cast("BinaryIO", steady))
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        aside.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(folder)
    return target


class _Steady:
    """Writes to a stream, and syncs it now and then, beside what is made meanwhile.

    Else one fsync at the end would write all of a large file at once: it would take its time behind
    all else, and those who sync small files on the same disk would wait for it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._unsynced = 0
        self._syncer = ThreadPoolExecutor(1)  # starts its thread when it is wanted
        self._syncing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._syncer.shutdown()
        if error is None:
            self._wait()

    def write(self, content: bytes) -> int:
        """Write all of it.

        Raises:
            OSError: the disk refused this, or what was written before.
        """
        self._stream.write(content)
        self._unsynced += len(content)
        if self._unsynced >= _AT_ONCE:
            self._stream.flush()
            self._wait()
            self._syncing = self._syncer.submit(os.fsync, self._stream.fileno())
            self._unsynced = 0
        return len(content)

    def _wait(self) -> None:
        if self._syncing is not None:  # an error told once is not told again: it must not get lost
            self._syncing.result()


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in a folder durable (fsync of the folder)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
