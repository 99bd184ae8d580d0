"""A run as Markdown for ``$GITHUB_STEP_SUMMARY``: outcomes first, under one MiB, all escaped."""

import html
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from spanbook_runfile import mermaid, names
from spanbook_runfile.mermaid import duration
from spanbook_runfile.model import Attempt, Metric, Run, Task
from spanbook_runfile.names import Result

MAX_BYTES = 1_000_000  # GitHub takes 1 MiB a step
MAX_ROWS = 200  # of a table
MAX_FAILURES = 10  # tasks whose last lines are shown
LAST_LINES = 20
_MAX_LINE = 500  # characters of one shown line
_MAX_CELL = 120
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SIGNS = {
    "success": "✅",
    "failure": "❌",
    "error": "💥",
    "timeout": "⏱️",
    "cancellation": "🛑",
    "skip": "⏭️",
    "running": "🏃",
    "interrupted": "🔌",
}
_WORDS = {"skip": "skipped", "success": "ok", "failure": "failed"}
_BAD = {Result.FAILURE, Result.ERROR, Result.TIMEOUT, Result.CANCELLATION}


def markdown(run: Run, against: Run | None = None) -> str:
    """The summary; with the metrics that differ from those of another run, where one is given."""
    parts = [
        _head(run),
        _table(run),
        *_failures(run),
        *([_differences(run, against)] if against else []),
        _folded("DAG", f"```mermaid\n{mermaid.dag(run)}```", is_open=True),
        _folded("Gantt chart", f"```mermaid\n{mermaid.gantt(run)}```", is_open=True),
        _metrics(run),
    ]
    return "\n".join(_fitting(part for part in parts if part))


def _fitting(parts: Iterable[str]) -> Iterator[str]:
    """The parts that there is room for; what is left out is said."""
    left = MAX_BYTES - 200
    omitted = 0
    for part in parts:
        size = len(part.encode()) + 1
        if size > left:
            omitted += 1
        else:
            left -= size
            yield part
    if omitted:
        yield f"*{omitted} parts had no room here; the run file holds all.*\n"


def _head(run: Run) -> str:
    counts = Counter(task.state for task in run.tasks)
    told = ", ".join(f"{count} {_WORDS.get(state, state)}" for state, count in counts.most_common())
    took = f" in {duration(run.end - run.start)}" if run.start and run.end else ""
    lines = [
        f"## {_sign(run.state)} {text(run.pipeline)}: {run.state}{took}",
        "",
        f"{len(run.tasks)} tasks: {told}" if run.tasks else "No tasks.",
    ]
    if run.error_message:
        lines.append(f"\n> {text(run.error_message, 300)}")
    context = [
        ("commit", run.context(names.REF_REVISION)[:12]),
        ("", run.context(names.COMMIT_TITLE)),
        ("branch", run.context(names.REF_NAME)),
        ("trigger", run.context(names.TRIGGER)),
        ("run", run.id),
    ]
    lines += ["", " · ".join(f"{k} {text(v)}".strip() for k, v in context if v)]
    if run.seal and run.seal.declared and not run.seal.complete:
        lines.append("\n⚠️ The run file is not complete: less came than the runner declared.")
    lines += [f"\n⚠️ {text(problem, 300)}" for problem in run.problems[:5]]
    return "\n".join(lines) + "\n"


def _table(run: Run) -> str:
    if not run.tasks:
        return ""
    order = {True: 0, False: 1}
    shown = sorted(run.tasks, key=lambda task: order[task.result in _BAD])[:MAX_ROWS]
    kept = {task.id for task in shown}
    rows = ["| | Task | Result | Run time | Tries | Reason |", "| - | - | - | -: | -: | - |"]
    for task in run.tasks:
        if task.id in kept:
            cells = (
                _sign(task.state),
                text(task.title),
                _WORDS.get(task.state, task.state),
                _took(task),
                str(len(task.attempts) or ""),
                text(_reason(run, task)),
            )
            rows.append(f"| {' | '.join(cells)} |")
    if len(run.tasks) > len(shown):
        rows.append(f"\n{len(run.tasks) - len(shown)} more tasks are not shown.")
    return "\n".join(rows) + "\n"


def _sign(state: str) -> str:
    return _SIGNS.get(state, "⏳")


def _took(task: Task) -> str:
    return "" if task.ran is None else duration(task.ran)


def _reason(run: Run, task: Task) -> str:
    if cause := run.by_id.get(task.cause or ""):
        return f"because of {cause.title}"
    if task.error_message.startswith(task.error_type):
        return task.error_message
    return f"{task.error_type}: {task.error_message}"


def _failures(run: Run) -> Iterator[str]:
    failed = [task for task in run.tasks if task.result in _BAD and task.final]
    for task in failed[:MAX_FAILURES]:
        if task.final:
            lines = _last_lines(task.final)
            if lines:
                told = "\n".join(html.escape(line) for line in lines)
                title = f"Last lines of {text(task.title)}"
                yield _folded(title, f"<pre>\n{told}\n</pre>", is_open=True)
    if len(failed) > MAX_FAILURES:
        yield f"{len(failed) - MAX_FAILURES} more tasks failed.\n"


def _last_lines(attempt: Attempt) -> list[str]:
    lines = [line for entry in attempt.logs[-LAST_LINES:] for line in entry.text.splitlines()]
    traces = [e.stacktrace or f"{e.type}: {e.message}" for e in attempt.exceptions[-1:]]
    lines = lines[-LAST_LINES:] + [line for t in traces for line in t.splitlines()[-LAST_LINES:]]
    return [_clean(line)[:_MAX_LINE] for line in lines]


def _clean(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else " " for c in _ANSI.sub("", line))


def _differences(run: Run, against: Run) -> str:
    now, before = _series(run), _series(against)
    rows = []
    for key in dict.fromkeys([*now, *before]):
        new, old = now.get(key), before.get(key)
        if new is None or old is None or not _equal(new.last, old.last):
            change = "" if new is None or old is None else _change(old.last, new.last)
            cells = (text(key[0]), text(key[1]), _number(old), _number(new), change)
            rows.append(f"| {' | '.join(cells)} |")
    title = f"### Metrics against {text(against.id[:12])}\n"
    if not rows:
        return f"{title}\nNo metric differs.\n"
    more = f"\n{len(rows) - MAX_ROWS} more differ.\n" if len(rows) > MAX_ROWS else ""
    head = "| Task | Metric | Before | Now | Change |\n| - | - | -: | -: | -: |\n"
    return f"{title}\n{head}" + "\n".join(rows[:MAX_ROWS]) + f"\n{more}"


def _metrics(run: Run) -> str:
    series = _series(run)
    if not series:
        return ""
    rows = [f"| {text(t)} | {text(k)} | {_number(m)} |" for (t, k), m in series.items()]
    more = f"\n\n{len(rows) - MAX_ROWS} more." if len(rows) > MAX_ROWS else ""
    head = "| Task | Metric | Last |\n| - | - | -: |\n"
    return _folded("Metrics", head + "\n".join(rows[:MAX_ROWS]) + more)


def _series(run: Run) -> dict[tuple[str, str], Metric]:
    """(task's title, metric's key) → metric, of the attempts that count and of the run itself."""
    found = {("(run)", key): metric for key, metric in run.metrics.items()}
    for task in run.tasks:
        for key, metric in task.final.metrics.items() if task.final else ():
            found.setdefault((task.title, key), metric)
    return found


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _change(old: float, new: float) -> str:
    difference = new - old
    if not math.isfinite(difference):
        return ""
    told = f"{difference:+.6g}"
    return f"{told} ({difference / abs(old):+.1%})" if old else told


def _number(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.last:.6g}"


def _folded(title: str, content: str, *, is_open: bool = False) -> str:
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{title}</summary>\n\n{content}\n\n</details>\n"


def text(value: str, most: int = _MAX_CELL) -> str:
    """Untrusted text on one line: neither HTML nor Markdown, nor a link, is made of it."""
    line = " ".join(_clean(value).split())
    short = line if len(line) <= most else line[: most - 1] + "…"
    return "".join(
        c if c.isalnum() or c in " ,=()-%" or ord(c) > 127 else f"&#{ord(c)};" for c in short
    )


__all__ = ["markdown"]
