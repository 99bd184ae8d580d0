"""The numbers of summarized runs: metrics and numeric values alike, and which are better."""

from collections.abc import Iterable, Sequence

from spanbook_site.pages.task_run import less_is_better
from spanbook_site.summary import Summary

__all__ = ["first_seen", "less_is_better", "of_run", "of_task"]


def of_task(task: Summary) -> dict[str, float]:
    """A task's last metric values, and those of its values that are numbers."""
    out = {
        key: value
        for key, value in task["values"].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    out.update({key: value[0] for key, value in task["metrics"].items() if value[0] is not None})
    return out


def of_run(run: Summary, minimize: Sequence[str]) -> dict[str, float]:
    """A run's numbers as ``task.metric``; of several tasks of one name the best counts."""
    out: dict[str, float] = {key: v[0] for key, v in run["metrics"].items() if v[0] is not None}
    for task in run["tasks"]:
        for key, value in of_task(task).items():
            name = f"{task['name']}.{key}"
            if name in out:
                best = min if less_is_better(key, minimize) or name in minimize else max
                value = best(out[name], value)  # noqa: PLW2901
            out[name] = value
    return out


def first_seen(keys: Iterable[Iterable[str]]) -> list[str]:
    """All keys in the order in which they first come."""
    return list(dict.fromkeys(key for some in keys for key in some))
