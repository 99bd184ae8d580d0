"""What a run would do: the DAG as text and as Mermaid."""

from collections.abc import Iterable

from spanbook_runfile import Run, Task, mermaid, names
from spanbook_runfile.names import TaskType

from spanbook.dag import Graph
from spanbook.errors import PipelineError
from spanbook.nodes import EitherNode, ItemNode, MapNode, Node, TaskNode
from spanbook.rerun import Part


def as_text(graph: Graph, part: Part | None = None) -> str:
    """One line for each task: its arguments, after which others it runs, and whether it does."""
    lines = [f"{graph.name}: {len(graph.tasks)} tasks"]
    for node in graph.nodes:
        if not isinstance(node, TaskNode | MapNode):
            continue
        above = dict.fromkeys(_title(up) for up in _above(node))
        after = f"  after {', '.join(above)}" if above else ""
        branch = "".join(
            f"  {'when' if c.expected else 'unless'} {c.handle.node.title}" for c in node.conditions
        )
        lines.append(f"  {_title(node)}{after}{branch}{_had(node, part)}")
    return "\n".join(lines)


def as_mermaid(graph: Graph) -> str:
    """The DAG as a Mermaid flow chart."""
    ids = {node: f"{number:016x}" for number, node in enumerate(graph.nodes, 1)}
    tasks = tuple(
        Task(
            id=ids[node],
            name=_title(node),
            index=node.index,
            type=node.task.type if isinstance(node, TaskNode) else TaskType.PYTHON,
            result=None,
            start=None,
            end=None,
            upstream=tuple(dict.fromkeys(ids[up] for up in _above(node))),
            group=node.group,
        )
        for node in graph.nodes
        if isinstance(node, TaskNode | MapNode)
    )
    resource = {names.PIPELINE_NAME: graph.name}
    return mermaid.dag(
        Run(
            id="0" * 32,
            pipeline=graph.name,
            result=None,
            start=None,
            end=None,
            tasks=tasks,
            resource=resource,
        )
    )


def _had(node: TaskNode | MapNode, part: Part | None) -> str:
    """How a part of a pipeline has a task without running it."""
    if part is None:
        return ""
    reuse = part.decide(node) if isinstance(node, TaskNode) else None
    if reuse is not None:
        return f"  (not run: as in {reuse.run_id[:8]})"
    return "  (not run)" if node in part.left_out else ""


def _above(node: Node) -> Iterable[Node]:
    """The tasks and fan-outs directly above a node."""
    for other in node.waits_for():
        if isinstance(other, TaskNode | MapNode):
            yield other
        elif isinstance(other, EitherNode):
            yield from _above(other)
        elif not isinstance(other, ItemNode):
            raise PipelineError(f"{type(other).__name__} is no part of a DAG.")


def _title(node: Node) -> str:
    from spanbook.terminal import label  # noqa: PLC0415 (imports Ray)

    return f"{node.title} \u00d7 ?" if isinstance(node, MapNode) else label(node)  # type: ignore[arg-type]
