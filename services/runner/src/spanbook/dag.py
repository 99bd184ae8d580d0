"""The DAG: what calling tasks inside a pipeline builds, before and while it runs."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spanbook.arguments import Arguments
from spanbook.errors import PipelineError
from spanbook.ids import new_span_id
from spanbook.nodes import (
    Condition,
    EitherNode,
    Handle,
    ItemNode,
    MapNode,
    Node,
    TaskNode,
    handles_in,
)

if TYPE_CHECKING:
    from spanbook.task import Task

_current: ContextVar["Graph | None"] = ContextVar("spanbook_graph", default=None)


@dataclass(eq=False)
class Graph:
    """All nodes of one run, in the order in which the pipeline declared them."""

    name: str
    nodes: list[Node] = field(default_factory=list)
    result: Any = None
    _groups: list[str] = field(default_factory=list)
    _conditions: list[Condition] = field(default_factory=list)
    _names: dict[str, "Task[..., Any]"] = field(default_factory=dict)
    _literals: dict[int, ItemNode] = field(default_factory=dict)
    _counter: Iterator[int] = field(default_factory=itertools.count)

    @property
    def tasks(self) -> list[TaskNode]:
        """The calls of tasks among the nodes."""
        return [node for node in self.nodes if isinstance(node, TaskNode)]

    @contextlib.contextmanager
    def building(self, like: Node | None = None) -> Iterator[None]:
        """Calls of tasks go into this graph; ``like`` gives them its group and conditions."""
        saved = self._groups, self._conditions
        if like is not None:
            self._groups = like.group.split("/") if like.group else []
            self._conditions = list(like.conditions)
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            self._groups, self._conditions = saved

    @contextlib.contextmanager
    def grouped(self, name: str) -> Iterator[None]:
        """Tasks called inside belong to the nested pipeline ``name``."""
        if len(self._groups) >= 32:
            raise PipelineError(
                f"Pipelines are nested 32 deep ({'/'.join(self._groups[-3:])}/{name}): one calls "
                "itself. A DAG has no cycles; a pipeline may not contain itself."
            )
        self._groups.append(name)
        try:
            yield
        finally:
            self._groups.pop()

    @contextlib.contextmanager
    def branch(self, condition: Condition) -> Iterator[None]:
        """Tasks called inside run only under ``condition``."""
        self._conditions.append(condition)
        try:
            yield
        finally:
            self._conditions.pop()

    def _place(self) -> dict[str, Any]:
        return {
            "index": next(self._counter),
            "group": "/".join(self._groups),
            "conditions": tuple(self._conditions),
        }

    def call(self, task: "Task[..., Any]", arguments: Mapping[str, Any]) -> TaskNode:
        """Add one call of a task.

        Raises:
            PipelineError: another task has its name, or an argument cannot be sent to a worker.
        """
        other = self._names.setdefault(task.name, task)
        if other is not task:
            raise PipelineError(
                f"Two tasks are named {task.name!r}: one from {other.source}, one from "
                f"{task.source}. Give one another name: @task(name=...)."
            )
        taken = Arguments(task.name, self.literal)
        filled = {key: taken.argument(key, value) for key, value in arguments.items()}
        node = TaskNode(
            title=task.name,
            id=new_span_id(),
            task=task,
            arguments=filled,
            handles=tuple(taken.handles),
            slot_arguments=tuple(taken.owners),
            **self._place(),
        )
        self.nodes.append(node)
        return node

    def map(
        self,
        title: str,
        expand: Callable[..., Any],
        mapped: Mapping[str, Any],
        fixed: Mapping[str, Any],
    ) -> Handle:
        """Add a fan-out whose width is known at run time."""
        node = MapNode(
            title=title,
            expand=expand,
            sources={k: v for k, v in mapped.items() if isinstance(v, Handle)},
            known={k: v for k, v in mapped.items() if not isinstance(v, Handle)},
            fixed=tuple(handles_in(fixed)),
            **self._place(),
        )
        self.nodes.append(node)
        return Handle(node)

    def either(self, choices: tuple[Handle, ...]) -> Handle:
        """Add a merge of branches."""
        node = EitherNode(title="either", choices=choices, **self._place())
        self.nodes.append(node)
        return Handle(node)

    def item(self, origin: Node, ref: Any, number: int) -> Handle:
        """A handle of one item of a mapped value."""
        return Handle(ItemNode(title=f"{origin.title}[{number}]", index=-1, origin=origin, ref=ref))

    def literal(self, value: Any) -> Handle:
        """A handle of a large literal argument, sent once however often it is used."""
        node = self._literals.get(id(value))
        if node is None:
            node = ItemNode(title="a literal", index=-1, value=value)
            self._literals[id(value)] = node  # the node keeps the value, so its id stays its own
        return Handle(node)


def current() -> Graph | None:
    """The graph being built here, if any."""
    return _current.get()
