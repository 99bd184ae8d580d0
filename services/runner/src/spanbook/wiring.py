"""Which ObjectRefs a task's arguments are, once what is above it has ended."""

from collections.abc import Mapping
from typing import Any

import ray

from spanbook.arguments import fill
from spanbook.nodes import EitherNode, Handle, ItemNode, MapNode, Node, Slot, TaskNode
from spanbook.state import State


class Wiring:
    """Leads from handles to values, through the states of a run's nodes."""

    def __init__(self, states: Mapping[Node, State]) -> None:
        self._states = states

    def settled(self, value: Any) -> Any:
        """The task's (or item's) handle behind eithers and maps; a list of what a map gave as it is."""
        if not isinstance(value, Handle):
            return value
        node = value.node
        if isinstance(node, EitherNode):
            choice = self._states[node].choice
            assert choice is not None, "an either without a choice is skipped"
            return self.settled(Handle(choice.node, choice.output, (*choice.path, *value.path)))
        if isinstance(node, MapNode):
            found: Any = node.results
            for number, key in enumerate(value.path):
                found = found[key]
                if isinstance(found, Handle):
                    rest = value.path[number + 1 :]
                    return self.settled(Handle(found.node, found.output, (*found.path, *rest)))
            return found
        return value

    def ref(self, handle: Handle) -> Any:
        """A settled handle's value: Ray's ObjectRef of it, or an Inline."""
        node = handle.node
        if isinstance(node, ItemNode):
            if node.ref is None:
                node.ref = ray.put(node.value)
            return node.ref
        refs = self._states[node].refs
        assert refs is not None, f"{node.title} has no value"
        return refs[handle.output]

    def inputs(self, node: TaskNode) -> tuple[Any, list[Any]]:
        """A task's arguments with slots, and the values that go into them, as of :meth:`ref`."""
        inputs: list[Any] = []
        expressions = [self._expression(handle, inputs) for handle in node.handles]
        trivial = all(e == Slot(i) for i, e in enumerate(expressions))
        return (node.arguments if trivial else fill(dict(node.arguments), expressions)), inputs

    def _expression(self, value: Any, inputs: list[Any]) -> Any:
        """A structure of handles as one of slots; their ObjectRefs are added to ``inputs``."""
        value = self.settled(value)
        if isinstance(value, Handle):
            inputs.append(self.ref(value))
            return Slot(len(inputs) - 1, value.path)
        if isinstance(value, dict):
            return {key: self._expression(part, inputs) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._expression(part, inputs) for part in value]
        return value
