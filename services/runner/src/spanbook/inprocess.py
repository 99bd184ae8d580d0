"""A pipeline called like a function: its tasks run here, one after the other, and nothing is recorded."""

from typing import Any

from spanbook.arguments import fill
from spanbook.dag import Graph
from spanbook.errors import PipelineError
from spanbook.nodes import EitherNode, Handle, ItemNode, MapNode, Node, TaskNode


class _Skipped:
    """The value of a task whose branch was not taken."""


_SKIPPED = _Skipped()


def run_here(graph: Graph) -> Any:
    """Run a graph in this process; returns what the pipeline returned, with the tasks' values.

    Raises:
        Exception: whatever a task raises.
    """
    values: dict[Node, Any] = {}
    done = 0
    while done < len(graph.nodes):  # a map appends nodes
        node = graph.nodes[done]
        values[node] = _run(graph, node, values)
        done += 1
    return _resolve(graph.result, values)


def _run(graph: Graph, node: Node, values: dict[Node, Any]) -> Any:
    for condition in node.conditions:
        found = _resolve(condition.handle, values)
        if found is _SKIPPED or bool(found) is not condition.expected:
            return _SKIPPED
    if isinstance(node, EitherNode):
        choices = (_resolve(handle, values) for handle in node.choices)
        return next((value for value in choices if value is not _SKIPPED), _SKIPPED)
    if isinstance(node, MapNode):
        columns = {key: _resolve(source, values) for key, source in node.sources.items()}
        if any(column is _SKIPPED for column in columns.values()):
            return _SKIPPED
        columns |= node.known
        rows = zip(*columns.values(), strict=True)
        before = len(graph.nodes)
        with graph.building(like=node):
            results = [node.expand(**dict(zip(columns, row, strict=True))) for row in rows]
        added = graph.nodes[before:]
        del graph.nodes[before:]
        for new in added:
            values[new] = _run(graph, new, values)
        return _resolve(results, values)
    if not isinstance(node, TaskNode):
        raise TypeError(f"{type(node).__name__} cannot run")
    inputs = [_resolve(handle, values) for handle in node.handles]
    if any(value is _SKIPPED for value in inputs):
        return _SKIPPED
    if node.task.function is None:
        raise PipelineError(
            f"The pipeline has the notebook task {node.title!r}, which needs a run of its own: "
            "`spanbook run`."
        )
    from spanbook.attempt import call  # noqa: PLC0415

    return call(node.task.function, fill(dict(node.arguments), inputs))


def _resolve(value: Any, values: dict[Node, Any]) -> Any:
    if isinstance(value, Handle):
        node = value.node
        found = node.value if isinstance(node, ItemNode) else values[node]
        if found is _SKIPPED:
            return found
        if isinstance(node, TaskNode) and node.task.outputs is not None:
            names = node.task.outputs
            found = found[names[value.output] if isinstance(names, tuple) else value.output]
        for key in value.path:
            found = found[key]
        return found
    if isinstance(value, dict):
        return {key: _resolve(part, values) for key, part in value.items()}
    if isinstance(value, list | tuple):
        made = [_resolve(part, values) for part in value]
        return made if isinstance(value, list) else tuple(made)
    return value
