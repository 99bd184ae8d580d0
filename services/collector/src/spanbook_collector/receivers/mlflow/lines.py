"""Small files of JSON, a line an entry, to which lines are added durably."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spanbook_runfile.disk import sync_folder


def entries(path: Path) -> Iterator[Any]:
    """What the lines of a file hold; none where it is not there or cannot be read.

    A line that was torn by a crash is passed over: it had not been acknowledged.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def append(path: Path, entry: object) -> None:
    """Add a line; on return it is on disk.

    Raises:
        OSError: the disk refused.
    """
    # It begins with a newline, too: a torn line before it would take it along.
    data = f"\n{json.dumps(entry)}\n".encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)
