"""Progress on a terminal: one line that counts; nothing where the output is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Counts tasks on standard error."""

    def __init__(self, *, enabled: bool | None = None) -> None:
        self.enabled = sys.stderr.isatty() if enabled is None else enabled

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Count up to ``total``; the yielded function counts one."""
        done, shown, began = 0, 0.0, time.monotonic()

        def tick() -> None:
            nonlocal done, shown
            done += 1
            now = time.monotonic()
            if self.enabled and (now - shown > 0.1 or done == total):
                shown = now
                left = (now - began) / done * (total - done)
                end = f", about {left:.0f} s left" if left > 1 else ""
                sys.stderr.write(f"\r\033[K{what}: {done} of {total}{end}")
                sys.stderr.flush()

        yield tick
        if self.enabled and total:
            sys.stderr.write("\n")
