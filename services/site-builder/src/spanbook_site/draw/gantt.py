"""The Gantt chart: waits, start-ups, attempts and skips on one time axis.

Rows are HTML (they wrap, link and print); bars are SVG with horizontal positions in per cent, so
that the chart takes whatever width there is and its text keeps its size.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from spanbook_runfile import Attempt, Run, Task

from spanbook_site import formats
from spanbook_site.draw.folding import ALL_BELOW, FOLD_ABOVE

MAX_ROWS = 250
MAX_MARKS = 100  # of failed tries in one folded row
_BAD = ("failure", "error", "timeout", "cancellation")
_STEPS = [
    s * unit
    for unit, steps in (
        (1_000_000, (1, 2, 5, 10, 20, 50, 100, 200, 500)),
        (formats.NS, (1, 2, 5, 10, 15, 30)),
        (60 * formats.NS, (1, 2, 5, 10, 15, 30)),
        (3600 * formats.NS, (1, 2, 3, 6, 12)),
        (86400 * formats.NS, (1, 2, 7, 30, 90, 365, 3650, 36500)),
    )
    for s in steps
]


@dataclass(frozen=True)
class Bar:
    """One stretch of time: ``x`` and ``width`` in per cent of the axis; ``kind`` is a CSS class."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True)
class Row:
    """One task, or a folded group of them (``runs`` > 1) with its number of tasks at work over time."""

    task: Task
    bars: tuple[Bar, ...]
    note: str
    note_x: float
    critical: bool
    runs: int = 1
    area: str = ""  # points of a polygon in a 100 x 20 box
    state: str = "success"  # that colours the area

    @property
    def note_left(self) -> bool:
        """Whether the note goes left of its place, for want of room: a letter takes about 0.7 %."""
        return self.note_x + 0.7 * len(self.note) > 100


@dataclass(frozen=True)
class Gantt:
    """The chart: rows, and ticks as (per cent, label)."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    start: int
    span: int
    hidden: int = 0


class _Axis:
    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.span = max(end - start, 1_000_000)
        self.scale = 86.0  # per cent: the rest is for the notes behind the last bars

    def x(self, time: int) -> float:
        return round(min(max((time - self.start) / self.span * self.scale, 0), self.scale), 3)

    def bar(self, start: int, end: int, kind: str, title: str) -> Bar:
        x = self.x(start)
        return Bar(x, round(max(self.x(end) - x, 0), 3), kind, title)


def gantt(run: Run, critical: frozenset[str]) -> Gantt | None:
    """The chart of a run; None where nothing has a time."""
    times = [
        t for task in run.tasks for a in task.attempts for t in (a.queued, a.start, a.end) if t
    ]
    times += [t for t in (run.start, run.end) if t]
    if not times or not run.tasks:
        return None
    start, end = _reasonable(run, times)
    axis = _Axis(start, end)
    by_name: dict[str, list[Task]] = defaultdict(list)
    for task in run.tasks:
        by_name[task.name].append(task)
    rows: list[tuple[int, int, Row]] = []
    for tasks in by_name.values():
        if len(tasks) > FOLD_ABOVE and len(run.tasks) > ALL_BELOW:
            rows.append((_begin(tasks, end), tasks[0].index, _group(tasks, axis, end, critical)))
        else:
            rows += [(_begin([t], end), t.index, _row(t, axis, end, critical)) for t in tasks]
    rows.sort(key=lambda item: item[:2])
    shown = tuple(row for *_, row in rows[:MAX_ROWS])
    return Gantt(shown, ticks(axis.span, axis.scale), axis.start, axis.span, len(rows) - len(shown))


def _reasonable(run: Run, times: Sequence[int]) -> tuple[int, int]:
    """First and last time; where the file's clocks make nonsense of it (years), the run's own span."""
    start, end = min(times), max(times)
    if end - start > 400 * 86400 * formats.NS and run.start and run.end and run.end > run.start:
        return run.start, run.end
    return start, end


def ticks(span: int, scale: float = 100.0) -> tuple[tuple[float, str], ...]:
    """At most nine ticks from 0, at round steps, labelled as time since the start."""
    step = next((s for s in _STEPS if span / s <= 8), _STEPS[-1])
    return tuple(
        (round(n * step / span * scale, 3), _tick(n * step, step))
        for n in range(min(span // step, 12) + 1)
    )


def _tick(time: int, step: int) -> str:
    seconds = time / formats.NS
    if time == 0:
        return "0"
    if step < formats.NS:
        return f"{seconds:g} s"
    if seconds < 120 and step < 60 * formats.NS:
        return f"{seconds:.0f} s"
    if step < 3600 * formats.NS and seconds < 7200:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min" if step % (60 * formats.NS) == 0 else f"{minutes}:{rest:02d}"
    if step < 24 * 3600 * formats.NS:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours}:{rest:02d} h"
    return f"{seconds / 86400:,.0f} d"


def _begin(tasks: Sequence[Task], end: int) -> int:
    times = [a.queued or a.start for t in tasks for a in t.attempts]
    times += [t.start for t in tasks]
    return min((t for t in times if t), default=end)


def _row(task: Task, axis: _Axis, now: int, critical: frozenset[str]) -> Row:
    bars = [bar for attempt in task.attempts for bar in _bars(attempt, axis, now)]
    last = max((b.x + b.width for b in bars), default=0.0)
    state = task.state
    if state == "skip":
        x = axis.x(task.start or task.end or now)
        bars, last = [Bar(x, 0, "skip", "skipped")], x
    return Row(task, tuple(bars), _note(task), round(last, 3), task.id in critical)


def _note(task: Task) -> str:
    final = task.final
    if task.state == "skip":
        return "skipped"
    if final is None:
        return formats.state_word(task.state)
    text = formats.duration(final.ran)
    words = [] if task.state == "success" else [formats.state_word(task.state)]
    if len(task.attempts) > 1:
        words.append(f"{len(task.attempts)} tries")
    return " · ".join(x for x in (text, *words) if x)


def _bars(attempt: Attempt, axis: _Axis, now: int) -> list[Bar]:
    queued, start, running = attempt.queued, attempt.start, attempt.running
    end = attempt.end or now
    name = f"try {attempt.number}"
    out = []
    if queued and start and start > queued:
        out.append(
            axis.bar(
                queued,
                start,
                "wait",
                f"{name}: waited {formats.duration(start - queued)} for a worker",
            )
        )
    if start and running and running > start:
        out.append(
            axis.bar(
                start,
                running,
                "startup",
                f"{name}: started up in {formats.duration(running - start)}",
            )
        )
    begin = running or start
    if begin:
        state = attempt.result or "running"
        words = f"{name}: {formats.state_word(state)}, ran {formats.duration(end - begin)}"
        out.append(axis.bar(begin, max(end, begin), f"s-{state}", words))
    return out


def _group(tasks: Sequence[Task], axis: _Axis, now: int, critical: frozenset[str]) -> Row:
    spans = [(a.began or now, a.end or now) for t in tasks for a in t.attempts if a.began]
    area, most = _at_work(spans, axis)
    bad = sum(t.state in _BAD for t in tasks)
    note = f"{len(tasks)} runs, {most} at once" + (f", {bad} failed" if bad else "")
    last = max((axis.x(end) for _, end in spans), default=0.0)
    hot = any(t.id in critical for t in tasks)
    state = "running" if any(t.state == "running" for t in tasks) else "success"
    return Row(tasks[0], _failures(tasks, axis, now), note, last, hot, len(tasks), area, state)


def _failures(tasks: Sequence[Task], axis: _Axis, now: int) -> tuple[Bar, ...]:
    """Where tries of a folded group went wrong: narrow marks at their ends."""
    wrong = [(t, a, a.result) for t in tasks for a in t.attempts if a.result in _BAD]
    return tuple(
        Bar(axis.x(a.end or now), 0.4, f"s-{result}", f"{formats.text(t.title, 80)}: {word}")
        for t, a, result in wrong[:MAX_MARKS]
        for word in [formats.state_word(result or "error")]
    )


def _at_work(spans: Sequence[tuple[int, int]], axis: _Axis) -> tuple[str, int]:
    """How many ran at each time, as polygon points in a 100 x 20 box, and the most."""
    if not spans:
        return "", 0
    columns = 200
    counts = [0] * (columns + 1)
    changes = sorted(
        [(s, 1) for s, _ in spans] + [(e, -1) for _, e in spans], key=lambda c: (c[0], c[1])
    )
    level = most = 0
    position = 0
    for time, change in changes:
        column = min(int(axis.x(time) * columns / 100), columns)
        for between in range(position, column):
            counts[between] = max(counts[between], level)
        position = column
        level += change
        most = max(most, level)
        counts[column] = max(counts[column], level)
    points = ["0,20"]
    for column in range(columns):
        height = 20 - 18 * counts[column] / max(most, 1)
        points += [f"{column / 2:g},{height:.3g}", f"{(column + 1) / 2:g},{height:.3g}"]
    return " ".join([*points, "100,20"]), most
