"""Where the nodes of a run stand, and who is told when that changes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spanbook_runfile.names import Result

from spanbook.dispatch import Ended, Try
from spanbook.nodes import Handle, Node, TaskNode
from spanbook.worker import Outcome


@dataclass(eq=False, slots=True)
class State:
    """Where one node stands; ``result`` is None until it is over."""

    node: Node
    result: Result | None = None
    told: bool = False  # its consumers know that it is over
    waits: int = 0
    consumers: "list[State]" = field(default_factory=list)
    open_consumers: int = 0
    holds: "list[State]" = field(default_factory=list)  # whose values this one needs
    refs: Sequence[Any] | None = None
    attempts: int = 0
    ready: int = 0  # ns
    running: Try | None = None
    outcome: Outcome | None = None  # of the last attempt, without its records
    cause: TaskNode | None = None
    choice: Handle | None = None  # of an either
    pending: int = 0  # conditions still being asked about
    message: str = ""
    reused_from: str = ""  # the run that the value is of


class Listener(Protocol):
    """Who is told how the run goes."""

    def attempt_started(self, attempt: Try) -> None:
        """An attempt runs."""

    def attempt_ended(self, ended: Ended, retry_in: float | None) -> None:
        """An attempt is over; it is tried again in so many seconds, or not at all."""

    def task_ended(self, state: State) -> None:
        """A task is over."""
