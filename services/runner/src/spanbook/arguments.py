"""Arguments of tasks: upstream values out of them when a DAG is built, and into them when it runs."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cloudpickle

from spanbook.errors import PipelineError, one_of
from spanbook.nodes import Callee, Handle, Outputs, Slot

_SCALARS = (type(None), bool, int, float, str, bytes)
_SHARED_BYTES = 100_000  # a literal argument above this is put into Ray's store once


class Arguments:
    """The arguments of one call being taken apart: handles out, slots in.

    Args:
        task: The task's name, for messages.
        literal: Gives a handle for a large value, which is sent once however often it is used.
    """

    def __init__(self, task: str, literal: Callable[[Any], Handle]) -> None:
        self.name, self._literal = task, literal
        self.handles: list[Handle] = []
        self.owners: list[str] = []
        self._key = ""

    def argument(self, key: str, value: Any) -> Any:
        """One argument, with slots.

        Raises:
            PipelineError: it contains itself, or does not pickle.
        """
        self._key = key
        known = len(self.handles)
        value = self._replace(value, ())
        if not isinstance(value, (*_SCALARS, Slot)) or isinstance(value, str | bytes):
            size = self._size(value)
            if size > _SHARED_BYTES and len(self.handles) == known:
                return self._slot(self._literal(value))
        return value

    def _slot(self, handle: Handle) -> Slot:
        self.handles.append(Handle(handle.node, handle.output))
        self.owners.append(self._key)
        return Slot(len(self.handles) - 1, handle.path)

    def _replace(self, value: Any, inside: tuple[int, ...]) -> Any:
        if isinstance(value, Handle):
            return self._slot(value)
        if isinstance(value, Callee):
            raise PipelineError(
                f"The argument {self._key!r} of task {self.name!r} is {value!r} itself, not what it "
                "returns: call it."
            )
        kind = type(value)
        if isinstance(value, Outputs):
            kind, value = dict, dict(value)
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


def bind(
    who: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The arguments of a call by the names of their parameters.

    Raises:
        PipelineError: they do not fit.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = [k for k in kwargs if k not in signature.parameters]
        hint = one_of(unknown[0], signature.parameters) if unknown else ""
        raise PipelineError(
            f"{who} was called with the wrong arguments: {error}. Its parameters are {signature}. "
            f"{hint}".rstrip()
        ) from None


def items_of(value: Any) -> list[Any]:
    """What a value is mapped over: its items, of a dict the keys.

    Raises:
        TypeError: it has none, or others than are meant.
    """
    kind = type(value).__name__
    if isinstance(value, Outputs):
        raise TypeError(f"it is all of a task's outputs: take one, as [{next(iter(value))!r}].")
    if isinstance(value, str | bytes):
        raise TypeError(f"a {kind} is not mapped over, character by character: give a list.")
    if kind == "DataFrame":
        raise TypeError(
            "a DataFrame is not mapped over, column by column: give a list of its rows, "
            "frame.to_dict('records')."
        )
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"a {kind} cannot be mapped over: give a list.") from None


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
