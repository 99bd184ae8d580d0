"""The live view of a run on a terminal: one line a task."""

import time
from collections import Counter
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from spanbook_runfile.names import Result

from spanbook.dag import Graph
from spanbook.nodes import TaskNode
from spanbook.state import State
from spanbook.terminal import MARKS, label, printable, short_error
from spanbook.tries import Ended, Try

_STYLES: dict[str, str] = {
    "waiting": "dim",
    "running": "bold blue",
    "retrying": "yellow",
    Result.SUCCESS: "green",
    Result.SKIP: "dim",
    Result.CANCELLATION: "magenta",
}
_MARKS: dict[str, str] = {"waiting": "·", "running": "▶", "retrying": "↻", **MARKS}
WIDE = 70  # columns of a terminal that has room for each task's state and error
_FIRST = ("running", "retrying", Result.FAILURE, Result.ERROR, Result.TIMEOUT)


@dataclass(slots=True)
class _Row:
    name: str
    state: str = "waiting"
    attempt: int = 0
    since: float = 0.0  # monotonic
    took: float | None = None
    note: str = ""

    @property
    def seconds(self) -> str:
        if self.state == "running":
            return f"{time.monotonic() - self.since:.1f} s"
        return "" if self.took is None else f"{self.took:.1f} s"


class LiveView:
    """Redraws itself a few times a second; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._rows: dict[TaskNode, _Row] = {}
        self._title = ""
        self._note = "starting Ray"
        self._begin = time.monotonic()
        self._live = Live(
            get_renderable=self._draw, console=self._console, refresh_per_second=5, transient=False
        )

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def run_started(self, run_id: str, graph: Graph) -> None:
        """The run begins."""
        self._title, self._note = f"{graph.name} {run_id[:8]}", ""
        for node in graph.tasks:
            self._rows[node] = _Row(label(node))

    def _row(self, node: TaskNode) -> _Row:
        return self._rows.setdefault(node, _Row(label(node)))

    def attempt_started(self, attempt: Try) -> None:
        """An attempt runs."""
        row = self._row(attempt.node)
        row.state, row.attempt, row.since, row.note = (
            "running",
            attempt.number,
            time.monotonic(),
            "",
        )

    def attempt_ended(self, ended: Ended, retry_in: float | None) -> None:
        """An attempt is over."""
        row, outcome = self._row(ended.attempt.node), ended.outcome
        row.attempt = ended.attempt.number
        if outcome.running:
            row.took = (outcome.end - outcome.running) / 1e9
        if retry_in is not None:
            row.state = "retrying"
            row.note = f"{short_error(outcome)}; again in {retry_in:g} s"

    def task_ended(self, state: State) -> None:
        """A task is over."""
        assert isinstance(state.node, TaskNode)
        assert state.result is not None
        row = self._row(state.node)
        row.state = state.result
        row.note = ""
        if state.result is Result.SKIP and state.cause is not None:
            row.note = f"because of {state.cause.title}"
        elif state.result is not Result.SUCCESS:
            row.note = state.message.strip().split("\n", 1)[0]

    def trouble(self, message: str | None) -> None:
        """The collector is away, or back."""
        self._note = message or "the collector is back"

    def flushing(self) -> None:
        """All tasks are over."""
        self._note = "sending the last records"

    def _draw(self) -> RenderableType:
        rows = list(self._rows.values())
        counts = Counter(row.state for row in rows)
        told = " · ".join(f"{count} {state}" for state, count in counts.most_common())
        took = f"{time.monotonic() - self._begin:.0f} s"
        head = _line(" · ".join(filter(None, (self._title, took, told))), "bold")
        room = max(5, self._console.height - 4)
        shown = rows
        if len(rows) > room:
            urgent = [row for row in rows if row.state in _FIRST]
            shown = (urgent + [row for row in rows if row.state not in _FIRST])[:room]
        parts: list[RenderableType] = [head, self._table(shown)]
        if len(shown) < len(rows):
            parts.append(_line(f"… and {len(rows) - len(shown)} more", "dim"))
        if self._note:
            parts.append(_line(self._note, "dim"))
        return Group(*parts)

    def _table(self, rows: list[_Row]) -> Table:
        """A line a task, never two; on a narrow terminal the mark stands for the state."""
        width = self._console.width
        wide = width >= WIDE
        table = Table.grid(padding=(0, 1))
        table.add_column()
        table.add_column(max_width=width // 2 if wide else max(10, width - 20))
        for row in rows:
            style = _STYLES.get(row.state, "red")
            cells = [
                _line(_MARKS.get(row.state, "?"), style),
                _line(row.name),
                *([_line(str(row.state), style)] if wide else []),
                _line(f"try {row.attempt}" if row.attempt > 1 else "", "yellow"),
                _line(row.seconds.rjust(7), "dim"),
                *([_line(row.note[:200], "dim")] if wide else []),
            ]
            table.add_row(*cells)
        return table


def _line(text: str, style: str = "") -> Text:
    """Text that stays on one line."""
    return Text(printable(text), style=style, overflow="ellipsis", no_wrap=True)
