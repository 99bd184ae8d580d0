"""Which pages of the site changed: the builder's manifest, watched, as numbered changes.

The manifest's ``stat`` is polled: one system call a quarter of a second, and it works on every file
system, bind mounts of a virtual machine included, where file events do not arrive.
"""

import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
MAX_PATHS = 500  # in one change; more are told as "everything"


@dataclass(frozen=True, slots=True)
class Change:
    """One new state of the site; ``paths`` is None where everything may have changed."""

    number: int
    paths: tuple[str, ...] | None


class Changes:
    """The changes of one site since this process began to watch; safe to use from many threads."""

    def __init__(self, manifest: Path, *, interval: float = 0.25, keep: int = 200) -> None:
        self._manifest = manifest
        self._interval = interval  # seconds
        self._kept: deque[Change] = deque(maxlen=keep)
        self._number = 0
        self._epoch = secrets.token_hex(4)
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._signature: tuple[int, ...] | None = None
        self._pages: Mapping[str, object] = {}

    def start(self) -> None:
        """Begin to watch; a second call does nothing."""
        with self._news:
            if self._watcher is None and not self.closed:
                self.look()
                self._watcher = threading.Thread(target=self._watch, name="changes", daemon=True)
                self._watcher.start()

    def close(self) -> None:
        """Stop watching, and wake all who wait."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed.is_set()

    def mark(self, number: int) -> str:
        """A change's number as an event id that is of this process only."""
        return f"{self._epoch}-{number}"

    def number_of(self, mark: str) -> int | None:
        """The number of an event id; None where it is of another process, or no mark of ours."""
        epoch, _, number = mark.partition("-")
        return int(number) if epoch == self._epoch and number.isdecimal() else None

    @property
    def number(self) -> int:
        """The number of the latest change."""
        return self._number

    def since(self, number: int, timeout: float) -> Change | None:
        """What changed after ``number``, all in one; waits up to ``timeout`` seconds for news."""
        with self._news:
            self._news.wait_for(lambda: self._number > number or self.closed, timeout)
            if self._number == number:
                return None
            missed = [change for change in self._kept if change.number > number]
            if len(missed) != self._number - number or any(c.paths is None for c in missed):
                return Change(self._number, None)
            paths = dict.fromkeys(path for change in missed for path in change.paths or ())
            return Change(self._number, tuple(paths) if len(paths) <= MAX_PATHS else None)

    def look(self) -> None:
        """Read the manifest if it is another than at the last look, and tell what differs."""
        signature = self._stat()
        if signature == self._signature:
            return
        try:
            pages = self._read() if signature else {}
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, so pages do not update: %s", self._manifest, error)
            self._signature = signature
            return
        first = self._watcher is None
        differ = [p for p in {**self._pages, **pages} if self._pages.get(p) != pages.get(p)]
        self._pages, self._signature = pages, signature
        if first or not differ:
            return
        with self._news:
            self._number += 1
            paths = tuple(sorted(differ)) if len(differ) <= MAX_PATHS else None
            self._kept.append(Change(self._number, paths))
            self._news.notify_all()

    def _watch(self) -> None:
        while not self._closed.wait(self._interval):
            self.look()
        with self._news:
            self._news.notify_all()

    def _stat(self) -> tuple[int, ...] | None:
        try:
            found = self._manifest.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Mapping[str, object]:
        manifest = json.loads(self._manifest.read_bytes())
        pages = manifest.get("pages") if isinstance(manifest, dict) else None
        if not isinstance(pages, dict):
            raise ValueError("it has no object 'pages' on top")  # noqa: TRY004
        return pages
