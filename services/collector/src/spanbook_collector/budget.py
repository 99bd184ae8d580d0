"""How many request bytes may be in memory at once."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from spanbook_collector.errors import Busy


@dataclass
class Budget:
    """Counts the bytes of requests under way; beyond ``limit`` a client is asked to come again."""

    limit: int
    used: int = 0

    def take(self, amount: int) -> None:
        """Count ``amount`` more bytes; give them back with :meth:`give`.

        Raises:
            Busy: they would be too many. One request alone is always let through.
        """
        if self.used and self.used + amount > self.limit:
            raise Busy(
                f"Requests of {self.used:,} bytes are under way, and the limit is {self.limit:,} "
                "(--max-inflight-bytes, SPANBOOK_MAX_INFLIGHT_BYTES). Send again later.",
                retry_after=1,
            )
        self.used += amount

    def give(self, amount: int) -> None:
        """Count ``amount`` bytes less."""
        self.used -= amount

    @contextlib.contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Count ``amount`` bytes for the length of a ``with`` block.

        Raises:
            Busy: as for :meth:`take`.
        """
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)
