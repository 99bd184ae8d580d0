"""Durable appends to many journals: all requests that wait share one round of fsync."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile.journal import MAGIC, Signal, frame_head

from spanbook_collector.disk import Disk

log = logging.getLogger(__name__)
SYNC_THREADS = 8
REMEMBERED_FRAMES = 1024  # a retry comes soon after the first try, or not at all
Frame = tuple[bytes, bytes]  # head and payload, apart: payloads are large, and not copied


class Journal:
    """One append-only file of frames.

    Only the committer's thread touches the file. ``length`` is what is known to be durable; after
    a failed write or fsync the file is cut back to it before anything else is written.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.length = 0
        self._disk = disk
        self._end = 0
        self._handle: int | None = None
        self._frames: OrderedDict[bytes, int] = OrderedDict()  # head and checksum → offset
        self._suspect = False

    def taken_up(self, length: int) -> None:
        """Take note that the file is there, with so many durable bytes."""
        self.length = self._end = length

    def append(self, frames: Iterable[Frame]) -> bool:
        """Write frames that are not here yet, not yet durable; whether any was written.

        Raises:
            OSError: the disk refused. Call :meth:`roll_back`.
        """
        if self._suspect:
            self.roll_back()
        if self._handle is None:
            self._handle = self._disk.open(self.path)
        out = [] if self._end else [MAGIC]
        end = self._end or len(MAGIC)
        for head, payload in frames:
            if self._holds(head, payload):
                continue
            self.remember(head, end)
            out += (head, payload)
            end += len(head) + len(payload)
        if end == (self._end or len(MAGIC)):
            return False
        self._disk.write(self._handle, out, self._end)
        self._end = end
        return True

    def remember(self, head: bytes, offset: int) -> None:
        """Know a frame by its head and checksum, so that a client's retry is not written twice."""
        self._frames[head] = offset
        if len(self._frames) > REMEMBERED_FRAMES:
            self._frames.popitem(last=False)

    def _holds(self, head: bytes, payload: bytes) -> bool:
        offset = self._frames.get(head)
        if offset is None or self._handle is None:
            return False
        offset += len(head)
        if offset + len(payload) > self._end:
            return False
        return self._disk.read(self._handle, len(payload), offset) == payload

    def sync(self) -> None:
        """Make what was written durable.

        Raises:
            OSError: it is not. Call :meth:`roll_back`: after a failed fsync the kernel may have
                dropped the pages, and a second fsync would lie.
        """
        if self._handle is not None:
            self._disk.sync(self._handle)

    @property
    def fresh(self) -> bool:
        """Whether nothing of this file has been made durable, its name included."""
        return self.length == 0

    def keep(self) -> None:
        """Take note that all that was written is durable."""
        self.length = self._end

    def distrust(self) -> None:
        """Have the next append cut the file back first."""
        self._suspect = True

    def roll_back(self) -> None:
        """Cut the file back to what is durable.

        Raises:
            OSError: not even that works; the next append tries again first.
        """
        self._suspect = True
        self._end = self.length
        self._frames = OrderedDict((k, v) for k, v in self._frames.items() if v < self.length)
        if self._handle is not None:
            self._disk.truncate(self._handle, self.length)
            self.close()  # a new handle sees a later fsync error anew
        self._suspect = False

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._disk.close(handle)


@dataclass(slots=True)
class _Waiting:
    """One request's frames by journal, and who waits for them."""

    parts: Sequence[tuple[Journal, Signal, bytes]]
    done: "asyncio.Future[None]"


@dataclass
class Committer:
    """Appends frames in rounds: while one round is being synced, the next one gathers."""

    disk: Disk
    fsync: bool = True
    most_open: int = 1000  # journals whose files stay open between rounds
    rounds: int = 0
    failures: int = 0
    _open: "OrderedDict[Journal, None]" = field(default_factory=OrderedDict)  # the last used last
    _queue: list[_Waiting] = field(default_factory=list)
    _running: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._syncers = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="fsync")

    async def append(self, parts: Sequence[tuple[Journal, Signal, bytes]]) -> None:
        """Append payloads, and return when all are durable.

        Raises:
            OSError: at least one is not; those of other journals may be.
        """
        waiting = _Waiting(parts, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._rounds())
        await waiting.done

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                try:
                    failed = await loop.run_in_executor(self._writer, self._round, batch)
                except Exception as error:  # such as MemoryError: nobody may wait for ever
                    log.exception("A round of writes broke off.")
                    failed = _all_failed(batch, error)
                self.rounds += 1
                for waiting in batch:
                    _answer(waiting, failed)
        finally:
            self._running = None

    def _round(self, batch: list[_Waiting]) -> dict[Journal, OSError]:
        """Write and sync one batch, in the writer's thread; the journals that failed, and why."""
        frames: dict[Journal, list[Frame]] = {}
        for waiting in batch:
            for journal, signal, payload in waiting.parts:
                entry = (frame_head(signal, payload), payload)
                frames.setdefault(journal, []).append(entry)
        failed: dict[Journal, OSError] = {}
        dirty = []
        for journal, new in frames.items():
            try:
                if journal.append(new):
                    dirty.append(journal)
            except OSError as error:
                failed[journal] = error
        failed.update(self._sync(dirty))
        for journal in dirty:
            if journal not in failed:
                journal.keep()
        for journal, why in failed.items():
            self._roll_back(journal, why)
        for journal in frames:
            self._open[journal] = None
            self._open.move_to_end(journal)
        while len(self._open) > self.most_open:
            self._open.popitem(last=False)[0].close()
        return failed

    def _sync(self, dirty: list[Journal]) -> dict[Journal, OSError]:
        if not self.fsync:
            return {}
        if len(dirty) == 1:
            failed = dict(filter(None, map(_sync_one, dirty)))
        else:
            failed = dict(filter(None, self._syncers.map(_sync_one, dirty)))
        fresh = [j for j in dirty if j.fresh and j not in failed]
        for folder in {j.path.parent for j in fresh}:
            try:
                self.disk.sync_folder(folder)
            except OSError as fault:
                failed.update((j, fault) for j in fresh if j.path.parent == folder)
        return failed

    def _roll_back(self, journal: Journal, error: OSError) -> None:
        self.failures += 1
        log.error(
            "%s was not written (%s); cutting it back to %d bytes.",
            journal.path,
            error,
            journal.length,
        )
        try:
            journal.roll_back()
        except OSError as again:
            log.error("%s could not be cut back yet (%s).", journal.path, again)  # noqa: TRY400

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._running is not None:
            await asyncio.shield(self._running)

    async def retire(self, journal: Journal, *, remove: bool) -> None:
        """Close a journal, behind all that was appended before; remove its file where asked to.

        Raises:
            OSError: the file is still there.
        """

        def work() -> None:
            self._open.pop(journal, None)
            journal.close()
            if remove:
                self.disk.unlink(journal.path)
                self.disk.sync_folder(journal.path.parent)

        await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def close(self) -> None:
        """Stop the threads."""
        self._writer.shutdown()
        self._syncers.shutdown()


def _sync_one(journal: Journal) -> tuple[Journal, OSError] | None:
    try:
        journal.sync()
    except OSError as error:
        return journal, error
    return None


def _all_failed(batch: list[_Waiting], error: Exception) -> dict[Journal, OSError]:
    """Every journal of a round, none of which can be trusted beyond its durable length."""
    journals = {journal for waiting in batch for journal, *_ in waiting.parts}
    for journal in journals:
        journal.distrust()
    return dict.fromkeys(journals, OSError(f"the write broke off ({type(error).__name__})"))


def _answer(waiting: _Waiting, failed: dict[Journal, OSError]) -> None:
    if waiting.done.done():  # its client went away; what was written stays
        return
    for journal, *_ in waiting.parts:
        if journal in failed:
            waiting.done.set_exception(failed[journal])
            return
    waiting.done.set_result(None)
