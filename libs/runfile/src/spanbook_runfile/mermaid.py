"""A run's DAG and Gantt chart as Mermaid text, for READMEs, job summaries and ``.mmd`` files.

GitHub draws a diagram of at most 50,000 characters and 500 edges, so tasks of one name become one
node where there are more; names are untrusted and never become Mermaid syntax.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from spanbook_runfile.model import Attempt, Run, Task
from spanbook_runfile.names import Result

MAX_CHARACTERS = 50_000  # of Mermaid's maxTextSize
MAX_EDGES = 500  # Mermaid's maxEdges
MAX_NAME = 60  # characters of one label
COLOURS = {
    "success": "fill:#d9f2e0,stroke:#2e7d4f,color:#12331f",
    "failure": "fill:#fbdcdc,stroke:#b3261e,color:#410e0b",
    "error": "fill:#f6d5ec,stroke:#93347a,color:#3b0f30",
    "timeout": "fill:#fde7c8,stroke:#a86200,color:#3d2400",
    "cancellation": "fill:#e6e1f5,stroke:#5e4b8b,color:#241a3d",
    "skip": "fill:#eeeeee,stroke:#8a8a8a,color:#444444,stroke-dasharray:4 3",
    "running": "fill:#d6e8fb,stroke:#1f5fa8,color:#0d2a4a",
    "waiting": "fill:#ffffff,stroke:#8a8a8a,color:#444444",
}
_BAD = {Result.FAILURE, Result.ERROR, Result.TIMEOUT, Result.CANCELLATION}
_WORST = ("failure", "error", "timeout", "cancellation", "running", "queued", "waiting", "skip")


def dag(run: Run) -> str:
    """The run's tasks and the edges between them, coloured by result."""
    edges = sum(len(task.upstream) for task in run.tasks)
    text = "" if edges > MAX_EDGES else _dag((task.id, [task]) for task in run.tasks)
    if text and len(text) <= MAX_CHARACTERS:
        return text
    folded: dict[str, list[Task]] = {}
    for task in run.tasks:
        folded.setdefault(task.name, []).append(task)
    text = _dag(folded.items())
    if len(text) <= MAX_CHARACTERS:
        return text
    counts = Counter(task.state for task in run.tasks)
    told = "<br/>".join(f"{count} {state}" for state, count in counts.most_common())
    return f'flowchart LR\n    t0["{len(run.tasks)} tasks<br/>{told}"]\n'


def _dag(groups: Iterable[tuple[str, Sequence[Task]]]) -> str:
    """One node a group of tasks; the key of a group counts for nothing but to tell them apart."""
    nodes = list(groups)
    number_of = {task.id: n for n, (_, tasks) in enumerate(nodes) for task in tasks}
    lines = ["flowchart LR"]
    for number, (_, tasks) in enumerate(nodes):
        first = tasks[0]
        if len(tasks) == 1:
            title, state = first.title, first.state
            told = "skipped" if state == "skip" else _duration(first.ran) or state
        else:
            states = {task.state for task in tasks}
            state = next((s for s in _WORST if s in states), "success")
            title, told = first.name, f"{len(tasks)} runs"
        state = "waiting" if state == "queued" else state
        lines.append(f'    t{number}["{label(title)}<br/>{told}"]:::{state}')
    edges: dict[tuple[int, int], None] = {}
    for number, (_, tasks) in enumerate(nodes):
        for task in tasks:
            for upstream in task.upstream:
                if upstream in number_of:
                    edges[number_of[upstream], number] = None
    lines += [f"    t{a} --> t{b}" for a, b in list(edges)[:MAX_EDGES]]
    used = {line.rpartition(":::")[2] for line in lines}
    lines += [f"    classDef {name} {style}" for name, style in COLOURS.items() if name in used]
    return "\n".join(lines) + "\n"


def gantt(run: Run) -> str:
    """When the code of each attempt ran; a skipped task is a milestone, one that failed is marked critical."""
    head = f"gantt\n    title {words(run.pipeline)}\n    dateFormat x\n    axisFormat %H:%M:%S\n"
    now = last_time(run)
    lines: list[str] = []
    size = len(head)
    for task in run.tasks:
        block = [f"    section {words(task.title)}", *_bars(task, now)]
        size += sum(len(line) + 1 for line in block)
        if len(block) == 1:
            continue
        if size > MAX_CHARACTERS - 200:
            lines.append("    section and more")
            lines.append(f"    {len(run.tasks)} tasks in all :milestone, {_ms(now)}, 0d")
            break
        lines += block
    return head + "\n".join(lines) + "\n"


def _bars(task: Task, now: int) -> list[str]:
    if task.result is Result.SKIP and not task.attempts:
        return [f"    skipped :milestone, {_ms(task.start or now)}, 0d"]
    bars = []
    for attempt in task.attempts:
        if attempt.began is None:
            continue
        end = max(attempt.end or now, attempt.began + 10**6)
        name = _bar_name(task, attempt)
        bars.append(f"    {name} :{_tag(attempt)}, {_ms(attempt.began)}, {_ms(end)}")
    return bars


def _bar_name(task: Task, attempt: Attempt) -> str:
    told = _duration(attempt.ran) or "running"
    if len(task.attempts) > 1:
        told = f"try {attempt.number}, {told}"
    return told if attempt.result in {Result.SUCCESS, None} else f"{told}, {attempt.result}"


def _tag(attempt: Attempt) -> str:
    if attempt.result is None:
        return "active"
    return "crit" if attempt.result in _BAD else "done"


def _ms(time: int) -> int:
    return time // 10**6


def last_time(run: Run) -> int:
    """The latest moment that a run tells of: where the bars of what still runs end."""
    times = [run.start or 0, run.end or 0]
    for task in run.tasks:
        times += [task.start or 0, task.end or 0]
        for attempt in task.attempts:
            times += [attempt.start or 0, attempt.end or 0]
            times += [line.time for line in attempt.logs[-1:]]
    return max(times)


def _duration(nanoseconds: int | None) -> str:
    return "" if nanoseconds is None else duration(nanoseconds)


def duration(nanoseconds: int) -> str:
    """A duration in words: ``820 ms``, ``12.3 s``, ``4 min 05 s``, ``3 h 20 min``."""
    seconds = max(0, nanoseconds) / 1e9
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def words(text: str) -> str:
    """Text for a place where Mermaid knows no quoting: its syntax becomes blanks."""
    kept = "".join(c if c.isalnum() or c in " ._-+=,()/@*'" else " " for c in text[: 4 * MAX_NAME])
    return _short(" ".join(kept.split())) or "unnamed"


def label(text: str) -> str:
    """Text for a quoted label, by Mermaid's entity codes."""
    kept = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_NAME])
    short = _short(" ".join(kept.split())) or "unnamed"
    return "".join(c if c.isalnum() or c in " ._-+=,()/@*" else f"#{ord(c)};" for c in short)


def _short(text: str) -> str:
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


__all__ = ["dag", "duration", "gantt", "label", "last_time", "words"]
