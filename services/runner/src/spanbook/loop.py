"""The driver's main thread: what others ask of it, what is due, what comes in, one after the other."""

import contextlib
import heapq
import itertools
import queue
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable

LONGEST_SECONDS = 1.0

Call = Callable[[], None]


class Loop:
    """Calls functions on the main thread; :meth:`wake` may be called from any thread or signal handler."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Call]] = []
        self._order = itertools.count()
        self._afterwards: deque[Call] = deque()
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ, self._woken)
        self._asleep = False

    def wake(self, call: Call) -> None:
        """Call ``call`` soon."""
        self._inbox.put(call)
        if self._asleep:
            with contextlib.suppress(OSError):  # full: it will wake; closed: nobody waits
                self._writer.send(b".")

    def later(self, seconds: float, call: Call) -> None:
        """Call ``call`` after so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def afterwards(self, call: Call) -> None:
        """Call ``call``, in order, but after what tasks wait for."""
        self._afterwards.append(call)

    def watch(self, fd: int, call: Call) -> None:
        """Call ``call`` whenever there is something to read."""
        self._selector.register(fd, selectors.EVENT_READ, call)

    def unwatch(self, fd: int) -> None:
        """Watch it no longer."""
        self._selector.unregister(fd)

    def step(self) -> None:
        """Wait for the next event, and handle all that are there."""
        self._asleep = True  # before looking: what comes after the look, wakes
        ready = self._selector.select(self._timeout())
        self._asleep = False
        for key, _ in ready:
            key.data()
        for _ in range(self._inbox.qsize()):
            self._inbox.get_nowait()()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        self.catch_up()

    def catch_up(self) -> None:
        """Do what was left for afterwards."""
        while self._afterwards:
            self._afterwards.popleft()()

    def close(self) -> None:
        """Wait for nothing more."""
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def _timeout(self) -> float:
        if self._afterwards or not self._inbox.empty():
            return 0.0
        # Not for ever: a signal that another thread got is handled once this one moves.
        due = self._timers[0][0] - time.monotonic() if self._timers else LONGEST_SECONDS
        return min(LONGEST_SECONDS, max(0.0, due))

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
