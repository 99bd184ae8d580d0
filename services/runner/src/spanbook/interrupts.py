"""Ctrl-C and SIGTERM, from a command's first line to its last."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS: Final = 0.5  # sooner it is the same one: a wrapper passes on what the group got, too


class Interrupts:
    """What a signal does now: before a run it ends the program, in a run it cancels that.

    While a program ends, signals do nothing more: what cleans up is not torn.
    """

    def __init__(self) -> None:
        self.reason = ""  # for the user; empty until a run was interrupted
        self._at = -AGAIN_SECONDS
        self._raises = True
        self._ending = False
        self._cancel: Callable[[str], None] | None = None

    def install(self) -> None:
        """Take the signals from whoever has them."""
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def hold(self) -> None:
        """There is a run to be cancelled from now on, though there may be no schedule yet."""
        self.install()  # Ray has set its own handlers
        self._raises = False

    def hand_to(self, cancel: Callable[[str], None]) -> None:
        """Have ``cancel`` called with the reason, once there is one."""
        self._cancel = cancel
        if self.reason:
            cancel(self.reason)

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Meanwhile a signal raises KeyboardInterrupt."""
        before = self._raises
        self._raises, self._ending = True, False
        try:
            yield
        finally:
            self._raises = before

    def _hear(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        if self._ending or now - self._at < AGAIN_SECONDS:
            return
        self._at = now
        if self._raises or self.reason:
            self._ending = True
            raise KeyboardInterrupt
        word = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.reason = f"The run was cancelled by {word}."
        if self._cancel is not None:
            self._cancel(self.reason)


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle the signals meanwhile, and put their handlers back at the end."""
    saved = {number: signal.getsignal(number) for number in SIGNALS}
    made = Interrupts()
    made.install()
    try:
        yield made
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
