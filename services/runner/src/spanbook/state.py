"""Where the nodes of a run stand, and who is told when that changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spanbook_runfile.names import Result

from spanbook import failure
from spanbook.errors import TaskError
from spanbook.nodes import EitherNode, Handle, Node, TaskNode, tasks_behind
from spanbook.tries import Ended, Try
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
    reported: bool = False  # its span is recorded
    before: int = 0  # attempts of an earlier success whose value was lost
    reruns: int = 0  # how often that was
    why: str = ""  # and why it runs again

    def hold(self, up: "State") -> None:
        """Need another node's value until this one is over."""
        up.open_consumers += 1
        self.holds.append(up)

    def free(self) -> None:
        """Let go of a value that nobody needs any more."""
        if self.open_consumers <= 0 and self.result is not None:
            self.refs = ()


class Listener(Protocol):
    """Who is told how the run goes."""

    def attempt_started(self, attempt: Try) -> None:
        """An attempt runs."""

    def attempt_ended(self, ended: Ended, retry_in: float | None) -> None:
        """An attempt is over; it is tried again in so many seconds, or not at all."""

    def task_ended(self, state: State) -> None:
        """A task is over."""


QUEUED: Any = object()  # State.running of an attempt that waits for a worker
PAUSED: Any = object()  # and of what waits for its next attempt, or for the width of a map


def task_of(node: Node) -> TaskNode | None:
    """The first of the tasks whose values a node stands for."""
    return next(tasks_behind(node), None)


def unfinished(state: State) -> Result:
    """What becomes of a task that a cancelled run does not go on with: skipped where it never began."""
    return Result.CANCELLATION if state.attempts else Result.SKIP


def is_over(up: State, consumer: Node) -> bool:
    """Whether ``consumer`` need not wait for ``up`` any more."""
    return up.result is Result.SUCCESS or (
        up.result is not None and isinstance(consumer, EitherNode)
    )


def pause(ended: Ended, tried: int, note: Callable[[Try, str], None]) -> float | None:
    """Seconds until a task is tried again after its ``tried``-th attempt; None where it is not."""
    task, outcome = ended.attempt.node.task, ended.outcome
    if outcome.result in (Result.SUCCESS, Result.CANCELLATION) or tried > task.policy.retries:
        return None
    worth_it = outcome.result is Result.ERROR or outcome.retry
    if outcome.result is Result.TIMEOUT:
        worth_it = failure.wants_retry(task, TimeoutError(outcome.error_message))
    if not worth_it:
        return None
    try:
        return task.policy.pause(tried)
    except TaskError as error:
        note(ended.attempt, f"{error} The task is tried again at once.")
        return 0.0
