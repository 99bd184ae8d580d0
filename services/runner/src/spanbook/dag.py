"""The DAG: what calling tasks inside a pipeline builds, before and while it runs."""

import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from spanbook.errors import PipelineError

if TYPE_CHECKING:
    from spanbook.task import Task

_current: ContextVar["Graph | None"] = ContextVar("spanbook_graph", default=None)
_SCALARS = (type(None), bool, int, float, str, bytes)
_SHARED_BYTES = 100_000  # a literal argument above this is put into Ray's store once


class Handle:
    """The value that a task will return; inside a pipeline it stands for it.

    Pass it to other tasks, take an item of it (``handle["train"]``), map over it, or branch on it.
    """

    __slots__ = ("node", "output", "path")

    def __init__(self, node: "Node", output: int = 0, path: tuple[object, ...] = ()) -> None:
        self.node, self.output, self.path = node, output, path

    def __getitem__(self, key: object) -> "Handle":
        return Handle(self.node, self.output, (*self.path, key))

    def __repr__(self) -> str:
        return f"<result of {self.node.title}>"

    def _unknown(self, what: str, instead: str) -> NoReturn:
        raise PipelineError(
            f"A pipeline tried to {what} the result of {self.node.title!r}. It is not known while "
            f"the pipeline is being built: the task has not run yet. {instead}"
        )

    def __bool__(self) -> bool:  # noqa: PLE0304
        self._unknown("branch on", "Use `with when(result): ...`, and `unless(result)` for else.")

    def __iter__(self) -> Iterator[Any]:
        self._unknown(
            "loop over or unpack",
            "Use `other_task.map(result)`, an item (`result[0]`), or declare the task's outputs: "
            "`@task(outputs=2)`.",
        )

    def __len__(self) -> int:  # noqa: PLE0303
        self._unknown("take the length of", "Do it in a task.")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._unknown(f"read the attribute {name!r} of", "Do it in a task.")

    def _compare(self, other: object) -> bool:  # noqa: ARG002
        self._unknown("compare", "Do it in a task that returns a bool, and use `with when(...):`.")

    __lt__ = __le__ = __gt__ = __ge__ = _compare

    def __reduce__(self) -> NoReturn:
        raise PipelineError(
            f"The result of {self.node.title!r} is inside an object that is passed to a task. Only "
            "lists, tuples and dicts are looked into: pass it as an argument of its own."
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """In a task's arguments: the place of the ``index``-th upstream value, or an item of it."""

    index: int
    path: tuple[object, ...] = ()

    def __getitem__(self, key: object) -> "Slot":
        return Slot(self.index, (*self.path, key))


@dataclass(frozen=True, slots=True)
class Condition:
    """A branch: its tasks run only if the value's truth is ``expected``."""

    handle: Handle
    expected: bool


@dataclass(eq=False, slots=True, kw_only=True)
class Node:
    """One thing of the DAG that others wait for."""

    title: str
    index: int
    group: str = ""
    conditions: tuple[Condition, ...] = ()

    def waits_for(self) -> "Iterator[Node]":
        """The nodes that must be done before this one, conditions included."""
        for condition in self.conditions:
            yield condition.handle.node


@dataclass(eq=False, slots=True, kw_only=True)
class TaskNode(Node):
    """One call of a task; its span id is ``id``."""

    id: str
    task: "Task[..., Any]"
    arguments: Mapping[str, Any]  # with a Slot where a handle was
    handles: tuple[Handle, ...]
    slot_arguments: tuple[str, ...]  # the argument each handle belongs to

    def waits_for(self) -> Iterator[Node]:
        """The nodes whose values are its arguments."""
        yield from super(TaskNode, self).waits_for()
        for handle in self.handles:
            yield handle.node


@dataclass(eq=False, slots=True, kw_only=True)
class MapNode(Node):
    """A fan-out over values known only at run time; ``results`` is set once it is expanded."""

    expand: Callable[..., Any]
    sources: Mapping[str, Handle]  # by parameter name
    known: Mapping[str, Sequence[Any]]  # mapped lists that are known already
    fixed: tuple[Handle, ...]  # in the arguments that are the same for each
    results: list[Any] | None = None

    def waits_for(self) -> Iterator[Node]:
        """What is mapped over, and what is the same for each item."""
        yield from super(MapNode, self).waits_for()
        for handle in (*self.sources.values(), *self.fixed):
            yield handle.node


@dataclass(eq=False, slots=True, kw_only=True)
class ItemNode(Node):
    """One item of a mapped value, or a literal kept once; nothing has to run for it."""

    origin: Node | None = None
    ref: Any = None  # Ray's ObjectRef
    value: Any = None

    def waits_for(self) -> Iterator[Node]:
        """Nothing: it is there already."""
        yield from ()


@dataclass(eq=False, slots=True, kw_only=True)
class EitherNode(Node):
    """The first of several results whose task was not skipped."""

    choices: tuple[Handle, ...]

    def waits_for(self) -> Iterator[Node]:
        """All choices, however they end."""
        yield from super(EitherNode, self).waits_for()
        for handle in self.choices:
            yield handle.node


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
        plan = _Plan(self, task.name)
        filled = {key: plan.argument(key, value) for key, value in arguments.items()}
        node = TaskNode(
            title=task.name,
            id=secrets.token_hex(8),
            task=task,
            arguments=filled,
            handles=tuple(plan.handles),
            slot_arguments=tuple(plan.owners),
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


class _Plan:
    """The arguments of one call being taken apart: handles out, slots in."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name
        self.handles: list[Handle] = []
        self.owners: list[str] = []
        self._key = ""

    def argument(self, key: str, value: Any) -> Any:
        self._key = key
        known = len(self.handles)
        value = self._replace(value, ())
        if not isinstance(value, (*_SCALARS, Slot)) or isinstance(value, str | bytes):
            size = self._size(value)
            if size > _SHARED_BYTES and len(self.handles) == known:
                return self._slot(self.graph.literal(value))
        return value

    def _slot(self, handle: Handle) -> Slot:
        self.handles.append(Handle(handle.node, handle.output))
        self.owners.append(self._key)
        return Slot(len(self.handles) - 1, handle.path)

    def _replace(self, value: Any, inside: tuple[int, ...]) -> Any:
        if isinstance(value, Handle):
            return self._slot(value)
        kind = type(value)
        if kind not in (list, tuple, dict) and not hasattr(value, "_fields"):
            return value
        if id(value) in inside:
            raise PipelineError(
                f"The argument {self._key!r} of task {self.name!r} contains itself (a cycle)."
            )
        inside = (*inside, id(value))
        parts = value.values() if kind is dict else value
        if not isinstance(parts, list | tuple) and kind is not dict:
            return value
        before = len(self.handles)
        new = [self._replace(part, inside) for part in parts]
        if len(self.handles) == before:
            return value
        if kind is dict:
            return dict(zip(value, new, strict=True))
        return kind(*new) if hasattr(value, "_fields") else kind(new)

    def _size(self, value: Any) -> int:
        if isinstance(value, str | bytes):
            return len(value)
        try:
            return len(cloudpickle.dumps(value))
        except PipelineError:
            raise
        except Exception as error:
            raise PipelineError(
                f"The argument {self._key!r} of task {self.name!r} cannot be sent to a worker: "
                f"{type(value).__name__} does not pickle ({error}). Create it inside the task, or "
                "pass what it is made from."
            ) from error


def handles_in(value: Any) -> Iterator[Handle]:
    """Every handle in a structure of lists, tuples and dicts."""
    if isinstance(value, Handle):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from handles_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from handles_in(part)


def tasks_behind(node: Node) -> Iterator[TaskNode]:
    """The tasks whose values a node stands for, as far as is known by now."""
    if isinstance(node, TaskNode):
        yield node
    elif isinstance(node, ItemNode) and node.origin is not None:
        yield from tasks_behind(node.origin)
    elif isinstance(node, EitherNode):
        for handle in node.choices:
            yield from tasks_behind(handle.node)
    elif isinstance(node, MapNode):
        handles = node.sources.values() if node.results is None else handles_in(node.results)
        for other in dict.fromkeys(handle.node for handle in handles):
            yield from tasks_behind(other)


def upstream(node: TaskNode) -> list[tuple[TaskNode, str]]:
    """The tasks whose values a task uses, as far as is known by now, and the arguments they go to."""
    found: dict[tuple[TaskNode, str], None] = {}
    for handle, argument in zip(node.handles, node.slot_arguments, strict=True):
        for up in tasks_behind(handle.node):
            found[up, argument] = None
    known = {up for up, _ in found}
    for condition in node.conditions:
        for up in tasks_behind(condition.handle.node):
            if up not in known:
                found[up, ""] = None
    return list(found)


def fill(value: Any, values: Sequence[Any]) -> Any:
    """``value`` with each slot replaced by the upstream value that it stands for.

    Raises:
        LookupError | TypeError: an upstream value has no such item.
    """
    kind = type(value)
    if kind is Slot:
        found = values[value.index]
        for key in value.path:
            found = found[key]
        return found
    if kind is dict:
        return {key: fill(part, values) for key, part in value.items()}
    if kind in (list, tuple):
        return kind(fill(part, values) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*(fill(part, values) for part in value))
    return value


def current() -> Graph | None:
    """The graph being built here, if any."""
    return _current.get()
