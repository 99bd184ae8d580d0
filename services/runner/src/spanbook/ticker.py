"""One thread a process that does what is due from time to time: flush records, sample usage."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 0.1  # seconds

logger = logging.getLogger(__name__)


class Ticker:
    """Calls what was added every :data:`INTERVAL` seconds, on a daemon thread started on first use.

    The thread stays, so that an attempt of a microsecond pays for no thread.
    """

    def __init__(self) -> None:
        self._calls: dict[Callable[[], None], None] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # again by its own thread: in a signal handler that prints

    def add(self, call: Callable[[], None]) -> None:
        """Call ``call`` from now on."""
        with self._lock:
            self._calls[call] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="spanbook-ticker", daemon=True
                )
                self._thread.start()

    def remove(self, call: Callable[[], None]) -> None:
        """Call it no longer; a call under way may still end after this."""
        with self._lock:
            self._calls.pop(call, None)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(INTERVAL)
            with self._lock:
                calls = list(self._calls)
            for call in calls:
                try:
                    call()
                except Exception:  # one caller's fault must not stop the others
                    logger.exception("A periodic call of the runner failed; it is tried again.")

    def after_fork(self) -> None:
        """Start anew in a forked child, where the thread is not."""
        self.__init__()  # type: ignore[misc]


ticker = Ticker()
os.register_at_fork(after_in_child=ticker.after_fork)
