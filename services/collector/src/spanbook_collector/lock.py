"""One collector a folder: two would write the same journals."""

import errno
import fcntl
import logging
import os
import time
from pathlib import Path

from spanbook_collector.errors import CollectorError

log = logging.getLogger(__name__)
_WAIT = 15.0  # seconds: what a killed collector's sealer may need to notice


def lock_folder(folder: Path, *, wait: float = _WAIT) -> int:
    """Lock a folder for this process and the sealer that inherits the handle; the handle.

    Raises:
        CollectorError: another collector is at work there.
    """
    path = folder / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CollectorError(
            f"{path} cannot be opened: {error.strerror}. Give it to the user that runs this "
            "collector, or name another folder with --outputs (SPANBOOK_OUTPUTS)."
        ) from error
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                owner = os.pread(handle, 40, 0).decode(errors="replace").strip() or "unknown"
                raise CollectorError(
                    f"Another collector (process {owner}) is at work in {folder}. Stop it, or give "
                    "this one a folder of its own with --outputs (SPANBOOK_OUTPUTS)."
                ) from None
            time.sleep(0.01)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            log.warning(
                "%s cannot be locked (%s): see that no other collector uses it.", folder, error
            )
            return handle
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            return handle
