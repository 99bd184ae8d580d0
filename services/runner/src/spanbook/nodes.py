"""What a DAG is made of: nodes, the handles of their values, and the conditions they run under."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from spanbook.errors import PipelineError, one_of

if TYPE_CHECKING:
    from spanbook.task import Task


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

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compare
    __hash__ = object.__hash__

    def _compute(self, *_: object) -> NoReturn:
        self._unknown("compute with", "Do it in a task.")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _compute
    __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = _compute
    __matmul__ = __rmatmul__ = __and__ = __or__ = __neg__ = __invert__ = _compute
    __contains__ = _compare

    def __format__(self, spec: str) -> str:
        self._unknown("put into a text", "Pass it to a task, and format the text there.")

    def __reduce__(self) -> NoReturn:
        raise PipelineError(
            f"The result of {self.node.title!r} is inside an object that is passed to a task. Only "
            "lists, tuples and dicts are looked into: pass it as an argument of its own."
        )


class Callee:
    """What a pipeline calls: a task, or another pipeline."""


class Outputs(dict[str, Any]):
    """The results of a task with named outputs."""

    def __init__(self, task: str, handles: Any) -> None:
        super().__init__(handles)
        self._task = task

    def __missing__(self, key: object) -> NoReturn:
        raise PipelineError(f"Task {self._task!r} has no output {key!r}. {one_of(str(key), self)}")

    def __getattr__(self, key: str) -> NoReturn:
        if key.startswith("__"):
            raise AttributeError(key)
        raise PipelineError(
            f"Task {self._task!r} has several outputs, and gives a dict of them: write "
            f"result[{next(iter(self))!r}], not result.{key}."
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
