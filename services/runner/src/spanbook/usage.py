"""CPU and memory of an attempt: this process and all that it started, sampled while it runs."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import psutil

from spanbook.ticker import ticker

if TYPE_CHECKING:
    from spanbook.emitter import Emitter

FIRST_SECONDS: Final = 0.3  # an attempt shorter than this has no sample, and pays for none
INTERVAL: Final = 1.0
WAIT_SECONDS: Final = 2.0  # at an attempt's end, for a sample that is being taken

_others: set[int] = set()  # processes that belong to the attempt but are no children of ours
_standing: set[int] = set()  # children of ours that serve all attempts


@contextlib.contextmanager
def sampler(emitter: "Emitter", interval: float = INTERVAL) -> Iterator[None]:
    """Sample the attempt's CPU and memory every ``interval`` seconds, and once at its end."""
    samples = _Sampler(emitter, interval)
    ticker.add(samples.tick)
    try:
        yield
    finally:
        ticker.remove(samples.tick)
        samples.end()


@contextlib.contextmanager
def including(pid: int) -> Iterator[None]:
    """Count a process, and its children, that was started for this attempt by another process."""
    _others.add(pid)
    try:
        yield
    finally:
        _others.discard(pid)


def leaving_out(pid: int) -> None:
    """Do not count a child that serves all attempts of this process."""
    _standing.add(pid)


class _Sampler:
    def __init__(self, emitter: "Emitter", interval: float) -> None:
        self._emitter = emitter
        self._interval = interval
        self._last = time.monotonic()
        self._cpu = _own_cpu()
        self._due = self._last + min(FIRST_SECONDS, interval)
        self._lock = threading.Lock()
        self._ended = False

    def tick(self) -> None:
        """Sample, where the time has come."""
        if time.monotonic() >= self._due:
            self._sample()

    def end(self) -> None:
        """Take a last sample, where the attempt was long enough to have one."""
        if time.monotonic() - self._last >= min(FIRST_SECONDS, self._interval):
            self._sample()
        self._ended = True

    def _sample(self) -> None:
        # The ticker may hold it for ever: a destructor of the task's may hang on whatever thread
        # collects garbage.
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return
        try:
            if self._ended:
                return
            cpu, memory = _measure()
            now = time.monotonic()
            # CPU of a process that ended unseen is missing: better none than a negative figure.
            used = max(0.0, cpu - self._cpu) / max(now - self._last, 1e-3)
            self._cpu, self._last = cpu, now
            self._due = now + self._interval
            self._emitter.usage(used, memory)
        finally:
            self._lock.release()


def _own_cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


def _measure() -> tuple[float, int]:
    """CPU seconds and resident bytes of this process and all that it started for the attempt."""
    own = psutil.Process()
    cpu, memory = _own_cpu(), own.memory_info().rss
    for process in _started_for_it(own):
        with contextlib.suppress(psutil.Error), process.oneshot():
            cpu += sum(process.cpu_times()[:4])
            memory += process.memory_info().rss
    return cpu, memory


def _started_for_it(own: psutil.Process) -> set[psutil.Process]:
    found = set(own.children(recursive=True))
    for pid in tuple(_others):
        with contextlib.suppress(psutil.Error):
            other = psutil.Process(pid)
            found |= {other, *other.children(recursive=True)}
    return {process for process in found if process.pid not in _standing}
