"""What the user sees of a run on a terminal, and where there is none."""

import io
import sys
import time
from collections import Counter
from functools import cache
from typing import TextIO

from spanbook_runfile.names import Result

from spanbook.dag import Graph
from spanbook.masking import Masker
from spanbook.nodes import Slot, TaskNode
from spanbook.run import Finished
from spanbook.state import State
from spanbook.tries import Ended, Try
from spanbook.worker import Outcome

MARKS: dict[str, str] = {
    Result.SUCCESS: "✓",
    Result.FAILURE: "✗",
    Result.ERROR: "✗",
    Result.TIMEOUT: "⏱",
    Result.CANCELLATION: "■",
    Result.SKIP: "↷",
}


class PlainView:
    """One line for each thing that happens: for logs, CI and pipes."""

    def __enter__(self) -> "PlainView":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be cleared."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._start = time.monotonic()

    def _say(self, text: str) -> None:
        try:
            self._out.write(f"[{time.monotonic() - self._start:7.1f} s] {printable(text)}\n")
            self._out.flush()
        except OSError:  # whoever read it is gone (`| head`); the run goes on
            self._out = io.StringIO()

    def run_started(self, run_id: str, graph: Graph) -> None:
        """The run begins."""
        self._say(f"Run {run_id} of {graph.name}: {len(graph.tasks)} tasks")

    def attempt_started(self, attempt: Try) -> None:
        """An attempt runs."""
        tries = f", attempt {attempt.number}" if attempt.number > 1 else ""
        self._say(f"▶ {label(attempt.node)} runs{tries}")

    def attempt_ended(self, ended: Ended, retry_in: float | None) -> None:
        """An attempt is over."""
        if retry_in is not None:
            outcome = ended.outcome
            self._say(
                f"↻ {label(ended.attempt.node)} attempt {ended.attempt.number}: {outcome.result}: "
                f"{short_error(outcome)}; again in {retry_in:g} s"
            )

    def task_ended(self, state: State) -> None:
        """A task is over."""
        assert isinstance(state.node, TaskNode)
        assert state.result is not None
        why = (
            f": {_first_line(state.message)}"
            if state.message and state.result is not Result.SUCCESS
            else ""
        )
        if state.result is Result.SKIP and state.cause is not None:
            why = f" because of {state.cause.title}"
        self._say(f"{MARKS[state.result]} {label(state.node)} {state.result}{seconds(state)}{why}")

    def trouble(self, message: str | None) -> None:
        """The collector is away, or back."""
        self._say(message or "The collector is back; what waited is being sent.")

    def flushing(self) -> None:
        """All tasks are over."""


def printable(text: str) -> str:
    """Text of one line without what a terminal would obey or cannot show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def label(node: TaskNode) -> str:
    """A task's name with its scalar arguments, short."""
    parts = [
        f"{key}={value}"
        for key, value in node.arguments.items()
        if isinstance(value, bool | int | float | str) and not isinstance(value, Slot)
    ]
    text = _masker().text(", ".join(parts))
    where = f"{node.group}/" if node.group else ""
    return f"{where}{node.title}" + (f" ({text[:40]})" if text else "")


@cache
def _masker() -> Masker:
    return Masker.of_environ()


def seconds(state: State) -> str:
    """How long a task's last attempt took, to be shown behind its result."""
    outcome = state.outcome
    if outcome is None or not outcome.running:
        return ""
    return f" in {(outcome.end - outcome.running) / 1e9:.1f} s"


def short_error(outcome: Outcome) -> str:
    """An attempt's error in one line."""
    first = _first_line(outcome.error_message)
    kind = outcome.error_type
    return f"{kind}: {first}" if kind and first else kind or first


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:160]


def summary(finished: Finished, out: TextIO) -> None:
    """What stays on the screen: the results, the last lines of each failure, the rest's number."""
    tasks = [s for s in finished.states if isinstance(s.node, TaskNode)]
    counts = Counter(str(s.result) for s in tasks)
    told = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    out.write(f"\n{finished.result.upper()}: {told}\n")
    bad = [s for s in tasks if s.result in (Result.FAILURE, Result.ERROR, Result.TIMEOUT)]
    for state in bad[:5]:
        out.write(f"\n--- {state.node.title}: {state.result}\n")
        trace = state.outcome.traceback if state.outcome else ""
        lines = (trace or state.message).rstrip().splitlines()
        out.write("\n".join(printable(line.expandtabs()) for line in lines[-15:]) + "\n")
    if len(bad) > 5:
        out.write(f"\n... and {len(bad) - 5} more.\n")
    out.flush()


def undelivered(finished: Finished, out: TextIO) -> None:
    """Say where the records are that the collector did not take."""
    why = f" ({finished.refused})" if finished.refused else ""
    out.write(
        f"\nThe collector did not take all of this run{why}. All its records are in\n"
        f"  {finished.spool}\nMake a run file of them with\n  spanbook import {finished.spool}\n"
    )
    out.flush()
