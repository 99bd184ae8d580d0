"""What an attempt changes of its process is undone at its end: a warm worker runs other tasks after it."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator

_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Undo, after it: the working folder, limits, signal handlers, alarms, umask and recursion limit.

    Variables and imports stay.
    """
    limits = {kind: resource.getrlimit(kind) for kind in _LIMITS}
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    umask = os.umask(0o022)
    os.umask(umask)
    folder = _folder()
    recursion = sys.getrecursionlimit()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm still to come would end another task
        sys.setrecursionlimit(recursion)
        os.umask(umask)
        for kind, limit in limits.items():
            if resource.getrlimit(kind) != limit:
                with contextlib.suppress(OSError, ValueError):  # a lowered hard limit stays
                    resource.setrlimit(kind, limit)
        for number, handler in handlers.items():
            # None: not set from Python, and not to be set again by it
            if handler is not None and signal.getsignal(number) != handler:
                with contextlib.suppress(ValueError):  # only the main thread may
                    signal.signal(number, handler)
        if folder and _folder() != folder:
            with contextlib.suppress(OSError):  # it is gone
                os.chdir(folder)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""
