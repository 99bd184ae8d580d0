"""A run file is whole under its name, or not there."""

import errno
import os
from itertools import count
from pathlib import Path
from typing import BinaryIO

import pytest
from spanbook_runfile.disk import write_aside

RUN = "5b8efff798038103d269b633813fc60c"
PART = bytes(9 << 20)  # is synced while the next is written


def _twice(stream: BinaryIO) -> None:
    stream.write(PART)
    stream.write(PART)


def test_a_large_file_is_whole(tmp_path: Path) -> None:
    """What is synced in parts is what was written, and read-only."""
    path = write_aside(tmp_path, RUN, _twice)
    assert path.read_bytes() == PART * 2
    assert path.stat().st_mode & 0o777 == 0o444
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_each_sync_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Also that of a part, where the last one succeeds: the kernel tells an error only once."""
    calls, fsync = count(), os.fsync

    def faulty(handle: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", faulty)
    with pytest.raises(OSError, match="Input/output"):
        write_aside(tmp_path, RUN, _twice)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Whatever it raises, after however much."""

    def write(stream: BinaryIO) -> None:
        _twice(stream)
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        write_aside(tmp_path, RUN, write)
    assert list(tmp_path.iterdir()) == []
