"""What holds between a run's tasks: edges without cycles, and labels that tell them apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spanbook_runfile.model import Json, Task

MAX_LABEL = 80  # characters
_MAX_VALUE = 40  # characters of one parameter in a label


def acyclic(upstream: Mapping[str, Sequence[str]]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Edges between known tasks, each once and without cycles; and how many cycles were broken.

    Of each cycle the edge is left out that closes it, as one walks from the first task on.
    """
    kept: dict[str, list[str]] = {task: [] for task in upstream}
    done: set[str] = set()
    broken = 0
    for root in upstream:
        if root in done:
            continue
        open_tasks = {root}
        path = [(root, iter(dict.fromkeys(upstream[root])))]
        while path:
            task, rest = path[-1]
            for target in rest:
                if target not in upstream:
                    continue
                if target in open_tasks:
                    broken += 1
                    continue
                kept[task].append(target)
                if target not in done:
                    open_tasks.add(target)
                    path.append((target, iter(dict.fromkeys(upstream[target]))))
                    break
            else:
                path.pop()
                open_tasks.discard(task)
                done.add(task)
    return {task: tuple(targets) for task, targets in kept.items()}, broken


def labelled(tasks: Sequence[Task]) -> list[Task]:
    """The tasks; those of one name get a label of the parameters in which they differ."""
    groups: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[task.name].append(task)
    labels: dict[str, str] = {}
    for group in groups.values():
        if len(group) > 1:
            labels.update(_labels(group))
    return [replace(task, label=labels[task.id]) if task.id in labels else task for task in tasks]


def _labels(group: list[Task]) -> dict[str, str]:
    given = [_scalars(task) for task in group]
    seen: dict[str, set[object]] = defaultdict(set)
    times: dict[str, int] = defaultdict(int)
    for parameters in given:
        for key, value in parameters.items():
            seen[key].add(value)
            times[key] += 1
    with_any = sum(map(bool, given))  # a skipped task has none, which tells nothing of the others
    differing = {key for key in seen if len(seen[key]) > 1 or times[key] < with_any}
    labels: dict[str, str] = {}
    taken: dict[str, int] = defaultdict(int)
    for number, (task, parameters) in enumerate(zip(group, given, strict=True), 1):
        told = ", ".join(
            f"{key[:_MAX_VALUE]}={str(value)[:_MAX_VALUE]}"
            for key, value in parameters.items()
            if key in differing
        )[:MAX_LABEL]
        taken[told] += 1
        if not told:
            told = f"#{number}"
        elif taken[told] > 1:
            told = f"{told} #{taken[told]}"
        labels[task.id] = told
    return labels


def _scalars(task: Task) -> Mapping[str, Json]:
    final = task.final
    if final is None:
        return {}
    kinds = (str, int, float)
    return {k: v for k, v in final.parameters.items() if isinstance(v, kinds) and v == v}
