"""Running a part: what failed before (``--from``), or what is named (``--only``)."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile import Run, RunFileError, Task, names, read_run
from spanbook_runfile.names import ArtifactKind, Result
from spanbook_runfile.paths import RUN_ID

from spanbook.dag import Graph
from spanbook.errors import UsageError, one_of
from spanbook.nodes import MapNode, Node, TaskNode

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reuse:
    """A task that need not run; ``value`` is its pickled outputs, where somebody needs them."""

    run_id: str
    value: bytes | None = None


@dataclass
class Part:
    """Which tasks of a graph run, and where the others' values come from.

    Asked for each task as it joins the run, so that tasks of a ``.map`` can be told too.
    """

    earlier: Run | None
    only: frozenset[str]
    needed: set[Node] = field(default_factory=set)  # for them a task must run, or have a value
    must: set[Node] = field(default_factory=set)
    left_out: set[Node] = field(default_factory=set)
    static: set[Node] = field(default_factory=set)  # known before the run began
    queues: dict[str, list[Task]] = field(default_factory=dict)  # not matched yet, by name
    _matched: dict[TaskNode, Task | None] = field(default_factory=dict)
    folder: Path = Path()

    def decide(self, node: TaskNode) -> Reuse | None:
        """How to have a task without running it; None: run it."""
        if node in self.must:
            return None
        before = self.match(node)
        if before is None or before.result is not Result.SUCCESS or node.task.name in self.only:
            return None
        assert self.earlier is not None
        if node not in self.needed and node in self.static:
            return Reuse(self.earlier.id)
        value = self.value(before)
        return None if value is None else Reuse(self.earlier.id, value)

    def match(self, node: TaskNode) -> Task | None:
        """The task of the earlier run that this one repeats.

        Of several of one name it is the first, in the order of declaration, whose recorded
        parameters are the same.
        """
        if node not in self._matched:
            queue = self.queues.get(node.task.name, [])
            same = (t for t in queue if _same_arguments(node, t))
            found = next(same, None)
            if found is not None:
                queue.remove(found)
            self._matched[node] = found
        return self._matched[node]

    def value(self, task: Task) -> bytes | None:
        """A task's kept value; where it was reused itself, from the run that it came from."""
        for attempt in reversed(task.attempts):
            for artifact in attempt.artifacts:
                if artifact.kind is ArtifactKind.RESULT and artifact.intact:
                    return artifact.data
        origin = task.attributes.get(names.TASK_REUSED_FROM)
        if isinstance(origin, str) and self.earlier is not None and origin != self.earlier.id:
            older = load_run(origin, self.folder)
            found = [t for t in older.tasks if t.name == task.name]
            peers = [t for t in self.earlier.tasks if t.name == task.name]
            if len(found) == len(peers):
                return self.value(found[peers.index(task)])
        return None


def load_run(wanted: str, folder: Path) -> Run:
    """The run file of a run id, an unambiguous beginning of one, or a path.

    Raises:
        UsageError: there is none.
    """
    path = Path(wanted)
    if not path.is_file():
        found = (
            sorted(folder.glob(f"{wanted}*.json")) if set(wanted) <= set("0123456789abcdef") else []
        )
        if len(found) != 1:
            many = f"{len(found)} run files begin so" if found else "there is none"
            raise UsageError(
                f"--from {wanted}: {many} in {folder}. Give a run id (32 hex digits, or its "
                "beginning), or the path of a run file."
            )
        path = found[0]
    try:
        run = read_run(path)
    except RunFileError as error:
        raise UsageError(f"--from {wanted}: {error}") from error
    if not RUN_ID.fullmatch(run.id) or run.foreign:
        raise UsageError(f"--from {wanted}: {path} is no run of a pipeline.")
    return run


def plan_part(
    graph: Graph, earlier: Run | None, only: Sequence[str], folder: Path, say: Say
) -> Part | None:
    """Which tasks of the graph to run; None for all of them.

    With an earlier run: those that did not succeed there, those that are new, and those named;
    then whatever they need whose value was not kept. Without one: those named, and what they need.

    Raises:
        UsageError: there is no task of a given name, or the run is another pipeline's.
    """
    if earlier is None and not only:
        return None
    known = {node.task.name for node in graph.tasks} | {
        node.title for node in graph.nodes if isinstance(node, MapNode)
    }
    for name in only:
        if name not in known:
            raise UsageError(f"--only {name}: the pipeline has no such task. {one_of(name, known)}")
    if earlier is not None and earlier.pipeline != graph.name:
        raise UsageError(
            f"--from {earlier.id}: that is a run of {earlier.pipeline!r}, not of {graph.name!r}."
        )
    part = Part(earlier, frozenset(only), folder=folder)
    part.static = set(graph.nodes)
    queues: dict[str, list[Task]] = defaultdict(list)
    for task in earlier.tasks if earlier else ():
        queues[task.name].append(task)
    part.queues = dict(queues)
    for node in graph.tasks:
        part.match(node)
    _choose(graph, part, say)
    return part


def _choose(graph: Graph, part: Part, say: Say) -> None:
    """Find what must run: what is wanted, and what that needs."""
    unmatched = {
        task.name
        for queue in part.queues.values()
        for task in queue
        if task.result is not Result.SUCCESS and not part.only
    }
    wanted: list[Node] = [
        node
        for node in graph.nodes
        if (isinstance(node, TaskNode) and _is_wanted(node, part))
        or (isinstance(node, MapNode) and (node.title in part.only or node.title in unmatched))
    ]
    seen: set[Node] = set()
    rerun_for_value: list[str] = []
    while wanted:
        node = wanted.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, TaskNode):
            part.must.add(node)
        part.needed.add(node)
        for other in node.waits_for():
            part.needed.add(other)
            if not isinstance(other, TaskNode):
                wanted.append(other)
                continue
            before = part.match(other)
            if before is None or before.result is not Result.SUCCESS or part.value(before) is None:
                if before is not None and before.result is Result.SUCCESS:
                    rerun_for_value.append(other.task.name)
                wanted.append(other)
    part.left_out = {n for n in graph.nodes if n not in seen and n not in part.needed}
    if rerun_for_value:
        told = ", ".join(dict.fromkeys(rerun_for_value))
        say(f"Running {told} again: the value was not kept. @task(keep=True) keeps it.")


def _is_wanted(node: TaskNode, part: Part) -> bool:
    if node.task.name in part.only:
        return True
    if part.earlier is None:
        return False
    before = part.match(node)
    if part.only:
        return False
    return before is None or before.result is not Result.SUCCESS


def _same_arguments(node: TaskNode, task: Task) -> bool:
    final = task.final
    if final is None:
        return True
    return all(
        _text(final.parameters[key]) == _text(value)
        for key, value in node.arguments.items()
        if key in final.parameters and _is_plain(value)
    )


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _text(value: object) -> str:
    return json.dumps(value, default=str)


__all__ = ["Part", "Reuse", "load_run", "plan_part"]
