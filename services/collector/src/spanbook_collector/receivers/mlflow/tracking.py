"""The runs that MLflow may ask about, and the one way by which its client's data goes in."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from spanbook_runfile import Run, RunFileError, read_run
from spanbook_runfile.journal import Signal
from spanbook_runfile.mlflow import RUN

from spanbook_collector.budget import Budget
from spanbook_collector.ingest import Ingest
from spanbook_collector.receivers.mlflow import records, views
from spanbook_collector.receivers.mlflow.book import Book
from spanbook_collector.receivers.mlflow.errors import MlflowError, missing, sealed
from spanbook_collector.receivers.mlflow.mentions import Mentions
from spanbook_collector.receivers.mlflow.records import Place
from spanbook_collector.receivers.mlflow.shelf import Shelf
from spanbook_collector.receivers.mlflow.views import Ref, Told
from spanbook_collector.settings import Settings

WAIT = 10.0  # seconds for an attempt to be known: its runner says so a moment after it began
_SEALED_BYTES = 128 << 20  # of run files that are kept read
_AT_ONCE = 1 << 20  # bytes of a journal that are read on the spot, not in a thread


class Tracking:
    """Everything that a request may touch."""

    def __init__(self, settings: Settings, ingest: Ingest, budget: Budget) -> None:
        self.settings = settings
        self.ingest = ingest
        self.budget = budget
        self.shelf = Shelf(settings.journals)
        self.mentions = Mentions(settings.journals)
        self.traces: dict[str, str] = {}  # MLflow trace id → run, of those told lately
        self._books: dict[str, Book] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sealed: OrderedDict[str, tuple[int, Run]] = OrderedDict()

    # -- to read ---------------------------------------------------------------------------

    def in_progress(self, run: str) -> bool:
        """Whether a run goes on; one that is being sealed does not."""
        found = self.ingest.runs.in_progress.get(run)
        return found is not None and not found.sealing

    def exists(self, run: str) -> bool:
        """Whether a run goes on, or is sealed."""
        return run in self.ingest.runs.in_progress or self._path(run).exists()

    async def book(self, run: str) -> Book | None:
        """A run in progress as it stands; None where it is sealed, or never was."""
        found = self.ingest.runs.in_progress.get(run)
        if found is None or not found.journal.length:
            self._books.pop(run, None)
            return None
        book = self._books.get(run)
        if book is None:
            for known in [k for k in self._books if k not in self.ingest.runs.in_progress]:
                del self._books[known]
            book = self._books[run] = Book(run, found.journal.path)
        try:
            async with self._lock(run, "read"):
                if found.journal.length - book.offset > _AT_ONCE:
                    await asyncio.to_thread(book.follow, found.journal.length)
                else:
                    book.follow(found.journal.length)
        except FileNotFoundError:
            self._books.pop(run, None)
            return None
        return book

    async def run_file(self, run: str) -> Run | None:
        """A sealed run; None where there is none that can be read."""
        if run in self._sealed:
            self._sealed.move_to_end(run)
            return self._sealed[run][1]
        path = self._path(run)
        try:
            size = path.stat().st_size
            found = await asyncio.to_thread(read_run, path)
        except (OSError, RunFileError):
            return None
        self._sealed[run] = (size, found)
        while len(self._sealed) > 1 and sum(s for s, _ in self._sealed.values()) > _SEALED_BYTES:
            self._sealed.popitem(last=False)
        return found

    def _path(self, run: str) -> Path:
        return self.settings.runs / f"{run}.json"

    async def told(self, ref: Ref) -> Told:
        """One MLflow run as it stands.

        Raises:
            MlflowError: there is none.
        """
        if book := await self.book(ref.run):
            told = views.of_book(book, ref.span)
        else:
            run = await self.run_file(ref.run)
            told = next((t for t in views.all_of_run(run) if t.ref == ref), None) if run else None
        if told is None:
            raise missing("Run", ref.id)
        return self.shelf.placed(told)

    async def all_told(self, run: str) -> list[Told]:
        """Every MLflow run of a run."""
        if book := await self.book(run):
            every = views.all_of_book(book)
        else:
            found = await self.run_file(run)
            every = views.all_of_run(found) if found else iter(())
        return [self.shelf.placed(told) for told in every]

    # -- to write --------------------------------------------------------------------------

    @asynccontextmanager
    async def _lock(self, run: str, what: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(f"{run} {what}", asyncio.Lock())
        async with lock:  # known as long as one holds it or waits for it
            yield

    @asynccontextmanager
    async def writing(self, ref: Ref) -> AsyncIterator[Book]:
        """A run in progress that takes more, one writer at a time.

        Raises:
            MlflowError: there is no such run, or it is sealed.
        """
        async with self._lock(ref.run, "write"):
            book = await self.book(ref.run)
            if book is None or not self.in_progress(ref.run):
                if book is not None or self._path(ref.run).exists():
                    raise sealed(ref.id)
                raise missing("Run", ref.id)
            if book.decoder.attempt(ref.span) is None and book.decoder.child(ref.span) is None:
                raise missing("Run", ref.id)
            yield book

    async def write(
        self,
        ref: Ref,
        make: Callable[[Book, Place], Iterable[LogRecord]],
        *,
        deleted_too: bool = False,
    ) -> None:
        """Write what ``make`` gives; on return it is on disk.

        Raises:
            MlflowError: there is no such run, it is sealed, deleted, or full.
            Busy: not now.
        """
        async with self.writing(ref) as book:
            if not deleted_too and book.decoder.told(ref.span).get("spanbook.child.lifecycle") == (
                "deleted"
            ):
                raise MlflowError(
                    f"The run {ref.id} must be in the 'active' state. Current state is deleted."
                )
            await self.put(book, make(book, Place(ref.run, ref.span)))

    async def put(self, book: Book, made: Iterable[LogRecord]) -> None:
        """Have records on disk; the caller holds :meth:`writing`.

        Raises:
            MlflowError: the run is sealed, or full.
            Busy: not now.
        """
        some = list(made)
        if some:
            alone = Ref(book.id, "").alone
            await self.export(
                book.id, Signal.LOGS, records.logs(book.owner, some, beside=not alone)
            )

    async def export(self, run: str, signal: Signal, payload: bytes) -> None:
        """Have an export request on disk.

        Raises:
            MlflowError: the run is sealed, or full.
            Busy: not now.
        """
        if run in self.ingest.runs.in_progress and not self.in_progress(run):
            raise sealed(run)
        outcome = await self.ingest.export(signal, payload)
        if outcome.rejected:
            raise MlflowError(outcome.message, "INVALID_STATE")


def ref_of(run_id: str) -> Ref:
    """The run that an id means.

    Raises:
        MlflowError: it is none of ours.
    """
    found = RUN.fullmatch(run_id)
    if not found:
        raise missing("Run", run_id)
    return Ref(*found.groups())
