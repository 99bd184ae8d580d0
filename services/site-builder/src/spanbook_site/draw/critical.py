"""The critical path: the chain of tasks that the end of a run waited for."""

from spanbook_runfile import Run, Task


def critical_path(run: Run) -> tuple[str, ...]:
    """Task ids from first to last; empty where nothing ran.

    From the task that ended last, back each time to the upstream task that ended last: finishing
    any of these sooner is the only way to finish the run sooner, as far as other tasks let it.
    """
    ran = {t.id: t for t in run.tasks if t.end is not None and t.attempts}
    task: Task | None = max(ran.values(), key=lambda t: (t.end or 0, t.index), default=None)
    path: list[str] = []
    while task is not None and task.id not in path:  # a hostile file may hold a cycle
        path.append(task.id)
        above = [ran[u] for u in task.upstream if u in ran]
        task = max(above, key=lambda t: (t.end or 0, t.index), default=None)
    return tuple(reversed(path))
