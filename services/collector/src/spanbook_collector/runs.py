"""The runs in progress, those sealed, and what comes late: where each piece of data goes."""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile.journal import SUFFIX
from spanbook_runfile.mlflow import ALONE
from spanbook_runfile.names import SealReason

from spanbook_collector.disk import Disk
from spanbook_collector.errors import Busy
from spanbook_collector.journals import Committer, Journal
from spanbook_collector.recall import tally_of
from spanbook_collector.route import Owner, Piece, instance_run_id
from spanbook_collector.seals import AlreadySealed, Sealer, SealFailed
from spanbook_collector.settings import Settings
from spanbook_collector.tally import Tally

log = logging.getLogger(__name__)
_REMEMBERED_RUNS = 64  # sealed ones whose tallies are kept, to know a retry from late data
_RETRY_FIRST, _RETRY_MOST = 1.0, 300.0  # seconds between tries to seal


@dataclass(slots=True)
class RunInProgress:
    """A run whose journal grows; times are monotonic seconds."""

    id: str
    journal: Journal
    last: float
    tally: Tally = field(default_factory=Tally)
    pending: int = 0  # requests being written
    pending_bytes: int = 0
    sealing: bool = False
    full: bool = False  # a service instance's run that reached its limit: the next one begins
    retry_at: float = 0.0
    retry_wait: float = _RETRY_FIRST

    def due(self, now: float, settings: Settings) -> SealReason | None:
        """Why to seal the run now, if at all."""
        if self.sealing or self.pending or now < self.retry_at or not self.journal.length:
            return None
        if self.tally.complete:
            return SealReason.COMPLETE
        if self.full:
            return SealReason.IDLE
        if self.tally.run_span:
            return SealReason.GRACE if now - self.last >= settings.grace else None
        idle = settings.mlflow_idle if self.id.startswith(ALONE) else settings.idle
        return SealReason.IDLE if now - self.last >= idle else None


@dataclass(frozen=True, slots=True)
class Target:
    """Where one piece goes: to a run in progress, or (``run`` None) beside a sealed one."""

    run_id: str
    journal: Journal
    run: RunInProgress | None


class Runs:
    """All runs that the collector knows of."""

    def __init__(
        self, settings: Settings, disk: Disk, committer: Committer, sealer: Sealer
    ) -> None:
        self.settings = settings
        self.disk = disk
        self.committer = committer
        self.sealer = sealer
        self.in_progress: dict[str, RunInProgress] = {}
        self.late: dict[str, Journal] = {}
        self.duplicates = 0  # pieces of sealed runs that came again
        self._sealed: OrderedDict[str, Tally] = OrderedDict()
        self._numbers: dict[str, int] = {}  # of a service instance's present run
        self._seals: set[asyncio.Task[None]] = set()
        self._recalling = asyncio.Lock()
        self._started = time.monotonic()

    # -- in ------------------------------------------------------------------------------

    def run_id(self, owner: Owner) -> str:
        """The run that data goes to now; a service instance begins a new one after a seal."""
        if not owner.instance:
            return owner.id
        number = self._numbers.get(owner.id, 0)
        while True:
            run_id = instance_run_id(owner, number)
            run = self.in_progress.get(run_id)
            if (run is not None and not run.sealing) or (
                run is None and not self._is_sealed(run_id)
            ):
                self._numbers[owner.id] = number
                return run_id
            number += 1

    async def recall(self, owner: Owner) -> None:
        """Learn what a run's sealed file holds, where an earlier collector sealed it."""
        run_id = owner.id
        if owner.instance or run_id in self.in_progress:
            return
        if run_id in self._sealed:
            self._sealed.move_to_end(run_id)
            return
        path = self._run_file(run_id)
        if path.exists():
            async with self._recalling:  # a file takes many times its size in memory
                if run_id not in self._sealed:
                    self._remember(run_id, await asyncio.to_thread(tally_of, path))

    def target(self, piece: Piece) -> Target | None:
        """Where a piece goes; None where a sealed run has all of it.

        Raises:
            Busy: too many runs are in progress.
        """
        run_id = self.run_id(piece.owner)
        run = self.in_progress.get(run_id)
        if run is not None and not run.sealing:
            return Target(run_id, run.journal, run)
        if run is not None or self._is_sealed(run_id):
            tally = run.tally if run is not None else self._sealed.get(run_id)
            if tally is not None and tally.covers(piece.signal, piece.facts):
                self.duplicates += 1
                return None
            return Target(run_id, self._late_journal(run_id), None)
        if len(self.in_progress) >= self.settings.max_runs:
            raise Busy(
                f"There are {len(self.in_progress)} runs in progress, as many as this collector "
                "takes (--max-runs, SPANBOOK_MAX_RUNS). Some will be sealed; send again later.",
                retry_after=30,
            )
        run = self.add(run_id, Journal(self.settings.journals / f"{run_id}{SUFFIX}", self.disk))
        log.info("Run %s begins.", run_id)
        return Target(run_id, run.journal, run)

    def add(self, run_id: str, journal: Journal, age: float = 0.0) -> RunInProgress:
        """Know a run in progress; ``age`` is how many seconds ago it was last heard of."""
        run = RunInProgress(run_id, journal, last=time.monotonic() - age)
        self.in_progress[run_id] = run
        return run

    def _late_journal(self, run_id: str) -> Journal:
        if run_id not in self.late:
            self.late[run_id] = Journal(self.settings.late / f"{run_id}{SUFFIX}", self.disk)
            log.warning(
                "Data for run %s comes after its seal; it is kept in %s.",
                run_id,
                self.late[run_id].path,
            )
        return self.late[run_id]

    def _is_sealed(self, run_id: str) -> bool:
        return run_id in self._sealed or self._run_file(run_id).exists()

    def _run_file(self, run_id: str) -> Path:
        return self.settings.runs / f"{run_id}.json"

    def arrived(self, run: RunInProgress, pieces: list[Piece]) -> None:
        """Count what is now on disk, and seal the run if that was all of it."""
        run.last = time.monotonic()
        for piece in pieces:
            run.tally.add(piece.signal, piece.facts)

    def settle(self, run: RunInProgress) -> None:
        """Seal a run that is complete; drop one that nothing could be written of."""
        if run.pending:
            return
        if not run.journal.length and not run.sealing:
            self.in_progress.pop(run.id, None)
        elif run.tally.run_span and run.due(time.monotonic(), self.settings) is SealReason.COMPLETE:
            self._start_seal(run, SealReason.COMPLETE)

    # -- out -----------------------------------------------------------------------------

    def look(self, *, last: bool = False) -> None:
        """Start the seals that are due; ``last``: there will be no later look.

        The runner of a run that was taken up is given the grace period to come again: that nothing
        was heard while no collector listened, by a clock that may have jumped, says nothing.
        """
        now = time.monotonic()
        listened = last or now - self._started >= self.settings.grace
        for run in list(self.in_progress.values()):
            reason = run.due(now, self.settings)
            if reason is SealReason.COMPLETE or (
                reason and (listened or run.last >= self._started)
            ):
                self._start_seal(run, reason)

    def _start_seal(self, run: RunInProgress, reason: SealReason) -> None:
        run.sealing = True
        task = asyncio.create_task(self._seal(run, reason))
        self._seals.add(task)
        task.add_done_callback(self._seals.discard)

    async def _seal(self, run: RunInProgress, reason: SealReason) -> None:
        try:
            await self.sealer.seal(run.journal.path, run.id, reason)
            self._remember(run.id, run.tally)
            await self.committer.retire(run.journal, remove=True)
        except AlreadySealed:
            await self._set_aside(run)
        except (SealFailed, OSError) as error:
            log.error(  # noqa: TRY400
                "Run %s is not sealed yet: %s. Next try in %.0f s.", run.id, error, run.retry_wait
            )
            run.retry_at = time.monotonic() + run.retry_wait
            run.retry_wait = min(run.retry_wait * 2, _RETRY_MOST)
            run.sealing = False
            return
        self.in_progress.pop(run.id, None)

    def _remember(self, run_id: str, tally: Tally) -> None:
        self._sealed[run_id] = tally
        if len(self._sealed) > _REMEMBERED_RUNS:
            self._sealed.popitem(last=False)

    async def _set_aside(self, run: RunInProgress) -> None:
        """A file of this run came from elsewhere: keep the journal as late data, beside it."""
        await self.committer.retire(run.journal, remove=False)
        aside = self.settings.late / run.journal.path.name
        if aside.exists():
            aside = aside.with_name(f"{run.id}.{time.time_ns()}{SUFFIX}")
        run.journal.path.rename(aside)
        self.disk.sync_folder(self.settings.late)
        self.disk.sync_folder(self.settings.journals)
        if run.id not in self.late:
            self.late[run.id] = Journal(aside, self.disk)
            self.late[run.id].taken_up(run.journal.length)
        log.warning(
            "Run %s was sealed before; what is in its journal is kept in %s.", run.id, aside
        )

    async def finish(self, seconds: float) -> None:
        """Let the seals of complete runs end, for at most so long."""
        self.look(last=True)
        if self._seals:
            await asyncio.wait(self._seals, timeout=seconds)


def file_age(path: Path) -> float:
    """How many seconds ago a file was written, not negative."""
    return max(0.0, time.time() - path.stat().st_mtime)


__all__ = ["RunInProgress", "Runs", "Target", "file_age"]
