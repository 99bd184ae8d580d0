"""Arguments of tasks: upstream values out of them when a DAG is built, and into them when it runs."""

from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from spanbook.errors import PipelineError
from spanbook.nodes import Handle, Slot

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
