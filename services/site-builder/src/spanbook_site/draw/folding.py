"""Mapped tasks folded: many runs of one task become one box, so that a graph stays readable."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from spanbook_runfile import Run, Task

ALL_BELOW = 80  # tasks that are all drawn, however many of them are of one name
FOLD_ABOVE = 8  # runs of one task that are still drawn apart in a larger run
MAX_NODES = 300  # boxes that a drawing may have


@dataclass(frozen=True)
class Node:
    """One box: one task, or all runs of a task."""

    tasks: tuple[Task, ...]

    @property
    def key(self) -> str:
        """The id of the node: the first task's."""
        return self.tasks[0].id

    @property
    def folded(self) -> bool:
        """Whether the box stands for several runs."""
        return len(self.tasks) > 1

    @property
    def name(self) -> str:
        """What the box is called."""
        return self.tasks[0].name if self.folded else self.tasks[0].title

    @property
    def state(self) -> str:
        """The worst state of its tasks."""
        states = Counter(task.state for task in self.tasks)
        for bad in ("failure", "error", "timeout", "cancellation", "running", "queued", "waiting"):
            if states[bad]:
                return bad
        return "success" if states["success"] else "skip"


@dataclass(frozen=True)
class Graph:
    """Nodes, and edges as pairs of node keys."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


def fold(run: Run) -> Graph | None:
    """The run's graph with mapped tasks folded; None where it is too large to draw even so."""
    by_name: dict[str, list[Task]] = defaultdict(list)
    for task in run.tasks:
        by_name[task.name].append(task)
    for limit in (ALL_BELOW if len(run.tasks) <= ALL_BELOW else FOLD_ABOVE, 1):
        nodes = []
        for tasks in by_name.values():
            nodes += [Node(tuple(tasks))] if len(tasks) > limit else [Node((t,)) for t in tasks]
        if len(nodes) <= MAX_NODES:
            return _connect(run, nodes)
    return None


def _connect(run: Run, nodes: list[Node]) -> Graph:
    nodes.sort(key=lambda n: n.tasks[0].index)
    owner = {task.id: node.key for node in nodes for task in node.tasks}
    edges = dict.fromkeys(
        (owner[above], owner[task.id])
        for task in run.tasks
        for above in task.upstream
        if above in owner and owner[above] != owner[task.id]
    )
    return Graph(tuple(nodes), tuple(edges))
