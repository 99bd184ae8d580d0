"""The spool: a run's records on disk until the collector has acknowledged them."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from spanbook_runfile.journal import MAGIC, SUFFIX, Signal, frame, read_frames

from spanbook.errors import SpoolError
from spanbook.export import Exporter, Refusal

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries while the collector is away
HURRY_SECONDS = 5.0  # without progress, at the end of a run that was interrupted


class Spool:
    """An append-only journal, and a thread that sends it frame by frame, in order, until done.

    What waits is on disk, so a collector that is away costs neither memory nor time.

    Args:
        folder: Where the journal goes; it is made if need be.
        run_id: 32 hex digits, the journal's name.
        exporter: Sends a frame.
        on_trouble: Told once when the collector does not answer, and once (with None) when it
            does again.

    Raises:
        SpoolError: the journal cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        exporter: Exporter,
        on_trouble: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.path = folder / f"{run_id}{SUFFIX}"
        self.refused: list[str] = []
        self._exporter = exporter
        self._on_trouble = on_trouble
        self._changed = threading.Condition()
        self._size = len(MAGIC)
        self._sent = len(MAGIC)
        self._closing = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=0)
            self._file.write(MAGIC)
        except OSError as error:
            raise SpoolError(
                f"The run's records cannot be written to {self.path}: {error}. Set SPANBOOK_OUTPUTS "
                "to a folder that can be written."
            ) from error
        self._thread = threading.Thread(target=self._send_on, name="spanbook-export", daemon=True)
        self._thread.start()

    def append(self, signal: Signal, payload: bytes) -> None:
        """Add one serialized export request.

        Raises:
            SpoolError: the disk refused.
        """
        data = memoryview(frame(signal, payload))
        written = 0
        try:
            with self._changed:
                while written < len(data):
                    written += self._file.write(data[written:]) or 0
                self._size += len(data)
                self._changed.notify_all()
        except OSError as error:
            raise SpoolError(
                f"The run's records cannot be written to {self.path}: {error}."
            ) from error

    def finish(self, timeout: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all is delivered; then the journal is deleted. False where it stays.

        Waits at most ``timeout`` seconds without any progress, less once it is ``hurried``, or until
        Ctrl-C: then it stays, and the user is told where.
        """
        since, seen = time.monotonic(), self._sent
        with self._changed:
            with contextlib.suppress(KeyboardInterrupt):
                while self._sent < self._size and self._thread.is_alive():
                    patience = min(timeout, HURRY_SECONDS) if hurried() else timeout
                    self._changed.wait(min(0.5, patience))
                    if self._sent != seen:
                        since, seen = time.monotonic(), self._sent
                    if time.monotonic() - since >= patience:
                        break
            done = self._sent >= self._size
            self._closing = True
            self._changed.notify_all()
        self._exporter.close()
        self._thread.join(2)
        if done and not self.refused:
            self._file.close()
            self.path.unlink(missing_ok=True)
        else:
            os.fsync(self._file.fileno())
            self._file.close()
        return done and not self.refused

    def _send_on(self) -> None:
        with self.path.open("rb") as stream:
            while not self._closing:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._size > self._sent)
                if self._closing:
                    return
                for signal, payload, offset in read_frames(stream, start=self._sent):
                    if not self._deliver(signal, payload):
                        return
                    with self._changed:
                        self._sent = offset
                        self._changed.notify_all()

    def _deliver(self, signal: Signal, payload: bytes) -> bool:
        """Send one frame, as often as it takes; False if there is no time left."""
        tries = 0
        while not self._closing:
            refusal = self._exporter.send(signal, payload)
            if refusal is None:
                if tries > 1:
                    self._on_trouble(None)
                return True
            if refusal.final:
                self.refused.append(refusal.reason)
                return True
            if tries == 1:
                self._on_trouble(_told(self._exporter.endpoint, refusal))
            with self._changed:
                self._changed.wait_for(lambda: self._closing, _PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
        return False


def _told(endpoint: str, refusal: Refusal) -> str:
    return (
        f"The collector at {endpoint} does not answer ({refusal.reason}). The run goes on; its "
        "records wait on disk and are sent when it is back."
    )
