"""How much may be done at once before it is batched."""

import time
from typing import Final

_NEVER: Final = 1 << 63


class Quota:
    """How much may be sent at once: a burst, then so much a second; the rest is batched."""

    __slots__ = ("_burst", "_step", "free_at")

    def __init__(self, burst: int, per_second: int) -> None:
        self._step = 1_000_000_000 // per_second
        self._burst = (burst - 1) * self._step
        self.free_at = -self._burst  # the time, monotonic in ns, from which something is left

    def taken(self) -> bool:
        """Take one, where one is left."""
        now = time.monotonic_ns()
        if now < self.free_at:
            return False
        self.free_at = max(now, self.free_at + self._burst) + self._step - self._burst
        return True

    def end(self) -> None:
        """Nothing is left any more."""
        self.free_at = _NEVER
