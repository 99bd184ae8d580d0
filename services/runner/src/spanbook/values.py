"""Values on their way into and out of a task, on a worker."""

import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cloudpickle

from spanbook.arguments import fill, items_of
from spanbook.errors import TaskError
from spanbook.nodes import Slot

if TYPE_CHECKING:
    from spanbook.task import Task

INLINE_BYTES = 64 << 10  # of all values of a task; larger ones are in Ray's store
MAPPED_BYTES = 16 << 20  # of the items of one map
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def with_values(name: str, arguments: Mapping[str, Any], values: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a call, with upstream values in their slots.

    Raises:
        TaskError: an upstream value has no such item.
    """
    values = [unpacked(value) for value in values]
    filled = {}
    for key, value in arguments.items():
        try:
            filled[key] = fill(value, values) if values else value
        except (LookupError, TypeError) as error:
            raise TaskError(
                f"The argument {key!r} of task {name!r} is an item of an upstream value, which has "
                f"no such item: {type(error).__name__}: {error}."
            ) from error
    return filled


def outputs_of(task: "Task[..., Any]", value: Any) -> Sequence[Any]:
    """What a task returned, as the several values that it declares.

    Raises:
        TaskError: it is not as many, or not those.
    """
    if task.outputs is None:
        return (value,)
    if isinstance(task.outputs, tuple):
        if isinstance(value, Mapping) and set(task.outputs) <= set(value):
            return [value[name] for name in task.outputs]
        wanted = f"a dict with the keys {', '.join(task.outputs)}"
    else:
        if isinstance(value, list | tuple) and len(value) == task.outputs:
            return value
        wanted = f"a tuple or list of {task.outputs} values"
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    raise TaskError(
        f"Task {task.name!r} declares outputs={task.outputs!r} and so must return {wanted}; it "
        f"returned a {type(value).__name__}{size}."
    )


class Packed:
    """A value that is pickled already, and unpickled by whoever needs it.

    Ray would unpickle an attempt's values before the attempt begins: where that fails or hangs,
    there would be nobody to record it. Large buffers stay apart, so that arrays are not copied.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, data: Any, buffers: Sequence[Any]) -> None:
        self.data, self.buffers = data, buffers

    def __reduce__(self) -> tuple[Any, ...]:
        return Packed, (self.data, self.buffers)


def packed(name: str, outputs: Sequence[Any]) -> Sequence[Any]:
    """A task's values, as Ray is to pass them on.

    Raises:
        TaskError: one does not pickle.
    """
    ready = []
    for number, output in enumerate(outputs):
        try:
            ready.append(_packed(output))
        except Exception as error:
            which = "value" if len(outputs) == 1 else f"output {number}"
            raise TaskError(
                f"The {which} that task {name!r} returned cannot be passed on: "
                f"{type(output).__name__} does not pickle ({error}). Return plain data, or what it "
                "can be made from again."
            ) from error
    return ready


def _packed(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    dtype = getattr(value, "dtype", None)
    if type(value).__name__ == "ndarray" and dtype is not None and dtype.kind != "O":
        return value
    buffers: list[pickle.PickleBuffer] = []
    data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return Packed(pickle.PickleBuffer(data), buffers)


def unpacked(value: Any) -> Any:
    """The value itself, of what Ray passed on."""
    if type(value) is Inline:
        value = value.value
    if type(value) is Packed:
        return cloudpickle.loads(value.data, buffers=value.buffers)
    return value


class Inline:
    """A small value that the driver holds itself, and hands over with what needs it."""

    __slots__ = ("size", "value")

    def __init__(self, value: Any, size: int) -> None:
        self.value, self.size = value, size

    def __reduce__(self) -> tuple[Any, ...]:
        return Inline, (self.value, self.size)


def inlined(outputs: Sequence[Any], limit: int = INLINE_BYTES) -> list[Inline] | None:
    """A task's packed values, to be held by the driver; None where they are too large for that."""
    found = []
    for output in outputs:
        if type(output) in _PLAIN:
            inline = Inline(output, sys.getsizeof(output))
        else:
            size = getattr(output, "nbytes", 0)  # an array is not packed yet
            if size > limit:
                return None
            inline = _inline(output)
        limit -= inline.size
        if limit < 0:
            return None
        found.append(inline)
    return found


def _inline(output: Any) -> Inline:
    """A value as bytes alone: whoever unpickles arrays from them finds them read-only, as Ray's are."""
    if type(output) is Packed:
        data, buffers = output.data, output.buffers
    else:
        buffers = []
        data = cloudpickle.dumps(output, protocol=5, buffer_callback=buffers.append)
    parts = [bytes(pickle.PickleBuffer(part).raw()) for part in (data, *buffers)]
    return Inline(Packed(parts[0], parts[1:]), sum(map(len, parts)))


def dumped(arguments: Mapping[str, Any]) -> bytes:
    """The arguments of a call, with slots, for :func:`loaded`."""
    plain = all(type(value) in _PLAIN or type(value) is Slot for value in arguments.values())
    return bytes((pickle if plain else cloudpickle).dumps(dict(arguments), protocol=5))


def loaded(arguments: bytes) -> dict[str, Any]:
    """The arguments of a call."""
    found: dict[str, Any] = cloudpickle.loads(arguments)
    return found


def kept(outputs: Sequence[Any]) -> bytes:
    """A task's values as they are kept in the run file, for :func:`restore`."""
    if all(type(output) in _PLAIN for output in outputs):
        return pickle.dumps(list(outputs), protocol=5)
    return bytes(cloudpickle.dumps(list(outputs)))


def restore(data: bytes) -> tuple[Any, ...] | Any:
    """The values of a task that were kept in an earlier run's file."""
    values = [_packed(value) for value in cloudpickle.loads(data)]
    return tuple(values) if len(values) != 1 else values[0]


def truth(value: Any, path: Sequence[Any]) -> bool:
    """Whether a value, or an item of it, is true: decides a branch."""
    return bool(_item(value, path))


def items(value: Any, path: Sequence[Any]) -> list[Inline | None]:
    """The items of a mapped value, each a value of its own; None where one is large."""
    room = MAPPED_BYTES
    found: list[Inline | None] = []
    for item in _items(value, path):
        small = inlined([_packed(item)], min(room, INLINE_BYTES))
        if small is None:
            found.append(None)
        else:
            found += small
            room -= small[0].size
    return found


def split(value: Any, path: Sequence[Any], large: Sequence[int]) -> tuple[Any, ...] | Any:
    """The large items of a mapped value, by their numbers, to be values of Ray's."""
    every = _items(value, path)
    items = tuple(_packed(every[number]) for number in large)
    return items if len(items) != 1 else items[0]


def _items(value: Any, path: Sequence[Any]) -> list[Any]:
    value = _item(value, path)
    try:
        return items_of(value if hasattr(value, "__len__") else None)
    except TypeError as error:
        raise TaskError(str(error).replace("NoneType", type(value).__name__)) from None


def _item(value: Any, path: Sequence[Any]) -> Any:
    value = unpacked(value)
    for key in path:
        value = value[key]
    return value
