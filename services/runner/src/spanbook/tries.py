"""One attempt, from the driver's side: what is known of it until it is over."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spanbook_runfile.names import Result

from spanbook.emitter import Batch
from spanbook.lease import Lease
from spanbook.nodes import TaskNode
from spanbook.relay import Started
from spanbook.worker import Outcome

_DOOM_TYPES = {
    Result.TIMEOUT: "TimeoutError",
    Result.ERROR: "NeverBegan",
    Result.CANCELLATION: "Cancelled",
}


@dataclass(eq=False)
class Try:
    """One attempt, from the driver's side."""

    node: TaskNode
    number: int
    span_id: str
    queued: int  # ns
    arguments: Mapping[str, Any]
    inputs: Sequence[Any]
    values: Sequence[Any] = ()
    call: Any = None  # the ObjectRef of the outcome
    lease: Lease | None = None  # instead of a call
    handed: int = 0  # ns
    unread: bool = False  # by the worker whom it was handed to, when that died
    started: Started | None = None
    heard: bool = False  # records of it came
    stash: Batch | None = None
    doom: Result | None = None  # why it is being stopped
    reason: str = ""
    killed: bool = False
    over: int = 0  # ns, when its processes were gone
    ended: bool = False

    @property
    def place(self) -> str:
        """Ray's id of the node it runs on, where that is known."""
        known = self.started or self.lease
        return known.node if known else ""

    @property
    def doom_type(self) -> str:
        """The type of error that its being stopped is."""
        return _DOOM_TYPES[self.doom or Result.CANCELLATION]

    def made_up(self, result: Result, kind: str, message: str, batch: Batch) -> Outcome:
        """The outcome of an attempt that could not give its own."""
        started, lease = self.started, self.lease
        over = self.over or time.time_ns()
        return Outcome(
            result=result,
            start=started.start if started else self.handed or over,
            running=started.running if started else 0,
            end=over,
            pid=started.pid if started else lease.pid if lease else 0,
            node=self.place,
            host=started.host if started else "",
            batch=batch,
            error_type=kind,
            error_message=message,
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over; ``values`` are the ObjectRefs of what the task returned."""

    attempt: Try
    outcome: Outcome
    values: Sequence[Any] = ()
    lost: str = ""  # it never began, for the object with this id was lost
