"""One request's way: parsed, told apart by run, made durable, counted."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from spanbook_runfile.journal import Signal

from spanbook_collector.errors import Busy
from spanbook_collector.route import Piece, Routed, route
from spanbook_collector.runs import RunInProgress, Runs, Target
from spanbook_collector.tally import is_beside

_LOOK_AT_DISK = 1.0  # seconds between looks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was not taken of a request that was (OTLP's partial success)."""

    rejected: int = 0
    message: str = ""


@dataclass
class Ingest:
    """The one way in: every receiver hands its requests here."""

    runs: Runs
    requests: dict[Signal, int] = field(default_factory=lambda: dict.fromkeys(Signal, 0))
    items: dict[Signal, int] = field(default_factory=lambda: dict.fromkeys(Signal, 0))
    received_bytes: int = 0
    rejected: int = 0
    refused: int = 0
    stopping: bool = False
    _looked: float = 0.0
    _low: int | None = None

    async def export(self, signal: Signal, payload: bytes) -> Outcome:
        """Take one serialized export request; on return what was taken is on disk.

        Raises:
            Invalid: it is no such request.
            Busy: not now; nothing of it need be on disk.
        """
        if self.stopping:
            raise Busy("The collector is stopping; send again when it is back.", retry_after=5)
        routed = route(signal, payload)
        if is_beside(payload):
            pieces = (replace(p, facts=replace(p.facts, beside=True)) for p in routed.pieces)
            routed = Routed(tuple(pieces), routed.rejected)
        self._check_disk()
        outcome = await self._store(routed)
        self.requests[signal] += 1
        self.items[signal] += sum(piece.facts.items for piece in routed.pieces)
        self.received_bytes += len(payload)
        self.rejected += outcome.rejected
        return outcome

    def _check_disk(self) -> None:
        """Refuse while there is less room than the disk floor."""
        settings, now = self.runs.settings, time.monotonic()
        if now - self._looked > _LOOK_AT_DISK:
            self._looked = now
            try:
                free = self.runs.disk.free(settings.journals)
            except OSError as error:
                raise Busy(f"The disk does not answer: {error}") from error
            self._low = free if free < settings.min_free_bytes else None
        if self._low is not None:
            raise Busy(
                f"The disk has {self._low:,} bytes left, under the floor of "
                f"{settings.min_free_bytes:,} (--min-free-bytes, SPANBOOK_MIN_FREE_BYTES). "
                "Make room; the data will be taken then.",
                retry_after=30,
            )

    async def _store(self, routed: Routed) -> Outcome:
        rejected = routed.rejected
        message = (
            "Spans need a trace id of 16 bytes and a span id of 8, not all zero."
            if rejected
            else ""
        )
        taken: list[tuple[Piece, Target]] = []
        for piece in routed.pieces:
            await self.runs.recall(piece.owner)
        for piece in routed.pieces:
            try:
                target = self.runs.target(piece)
            except Busy:
                for _, earlier in taken:
                    if earlier.run is not None:
                        self.runs.settle(earlier.run)
                raise
            if target is None:
                continue
            if self._is_full(target, len(piece.payload)):
                if piece.owner.instance and target.run is not None and target.journal.length:
                    target.run.full = True
                    raise Busy("This service instance's run is full; the next begins in a moment.")
                rejected += piece.facts.items
                message = (
                    f"Run {target.run_id} has reached its limit of "
                    f"{self.runs.settings.max_run_bytes:,} bytes "
                    "(--max-run-bytes, SPANBOOK_MAX_RUN_BYTES)."
                )
                continue
            taken.append((piece, target))
        if taken:  # a client that goes away must not stop the count of what was written
            await asyncio.shield(self._write(taken))
        return Outcome(rejected, message)

    def _is_full(self, target: Target, more: int) -> bool:
        waiting = target.run.pending_bytes if target.run else 0
        return target.journal.length + waiting + more > self.runs.settings.max_run_bytes

    async def _write(self, taken: list[tuple[Piece, Target]]) -> None:
        by_run: dict[str, tuple[RunInProgress, list[Piece]]] = {}
        for piece, target in taken:
            if target.run is not None:
                by_run.setdefault(target.run_id, (target.run, []))[1].append(piece)
                target.run.pending += 1
                target.run.pending_bytes += len(piece.payload)
        try:
            await self.runs.committer.append(
                [(target.journal, piece.signal, piece.payload) for piece, target in taken]
            )
        except OSError as error:
            raise Busy(f"The data could not be written: {error}. Send it again later.") from error
        else:
            for run, pieces in by_run.values():
                self.runs.arrived(run, pieces)
        finally:
            for run, pieces in by_run.values():
                run.pending -= len(pieces)
                run.pending_bytes -= sum(len(piece.payload) for piece in pieces)
                self.runs.settle(run)
