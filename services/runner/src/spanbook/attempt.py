"""One try of a task, seen from inside the worker: what it is given and what it can tell the driver."""

import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from spanbook_runfile import names
from spanbook_runfile.names import Event, TaskType

from spanbook.settings import Limits

if TYPE_CHECKING:
    from spanbook.emitter import Batch, Emitter
    from spanbook.masking import Masker

_MAX_PARAMETER = 4096  # characters of a parameter's text form; longer ones are not recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpec:
    """All that an attempt needs to run; ``arguments`` holds the upstream values already."""

    run_id: str
    task_id: str
    span_id: str
    number: int  # from 1
    name: str
    type: TaskType
    function: Callable[..., Any] | None  # of a Python task
    notebook: "NotebookSource | None"
    arguments: Mapping[str, Any]
    upstream: frozenset[str]  # the arguments that hold another task's value
    limits: Limits


@dataclass(frozen=True, slots=True)
class NotebookSource:
    """A notebook as the driver read it: no shared disk is needed to run it elsewhere."""

    path: str  # as the user wrote it, for messages and links
    folder: str  # where it lies on the driver's machine; may not exist on this one
    text: str
    suffix: str  # .py, .md or .ipynb


class Control(Protocol):
    """What the code inside an attempt can tell its driver, and be told."""

    def running(self) -> None:
        """The user's own code begins now: the time limit counts from here."""

    def stash(self, batch: "Batch") -> None:
        """Keep ``batch`` at the driver; it is recorded only if this attempt dies."""

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the attempt is about to be killed (a second is left, or less)."""


def run_python(spec: AttemptSpec, emitter: "Emitter", control: Control) -> Any:  # noqa: ARG001
    """Call the task's function with its arguments."""
    if spec.function is None:
        raise TypeError(f"The task {spec.name!r} has no function.")
    control.running()
    return call(spec.function, spec.arguments)


def call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a function with arguments by the names of its parameters, whatever their kinds."""
    bound = inspect.BoundArguments(_signature(function), dict(arguments))
    return function(*bound.args, **bound.kwargs)


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def record_parameters(
    arguments: Mapping[str, Any], upstream: Container[str], emitter: "Emitter"
) -> None:
    """Record an attempt's arguments; of ``upstream`` values only those that are scalars."""
    for key, value in _parameters(arguments, upstream):
        emitter.event(Event.PARAMETER, value, {names.KEY: key}, at_once=False)


def parameters_batch(
    run_id: str,
    span_id: str,
    arguments: Mapping[str, Any],
    upstream: Container[str],
    masker: "Masker",
) -> "Batch":
    """The parameters of an attempt that died before it could send them."""
    from spanbook.emitter import Emitter  # noqa: PLC0415 (rare, and the driver's own)

    emitter = Emitter(run_id, span_id, lambda _: None, masker=masker, origin="p")
    record_parameters(arguments, upstream, emitter)
    return emitter.close()


def _parameters(
    arguments: Mapping[str, Any], upstream: Container[str]
) -> Iterator[tuple[str, object]]:
    for key, value in arguments.items():
        scalar = value is None or isinstance(value, bool | int | float | str)
        if not scalar and getattr(value, "shape", None) == () and hasattr(value, "item"):
            scalar = True  # numpy's and pandas' scalars
        if scalar and not (isinstance(value, str) and len(value) > _MAX_PARAMETER):
            yield key, value
        elif key not in upstream:
            text = value if isinstance(value, str) else _repr(value)
            if len(text) <= _MAX_PARAMETER:
                yield key, _plain(value)


def _plain(value: object) -> object:
    """Containers and dates as they are, anything else as its ``repr``."""
    if isinstance(value, list | tuple | dict | set | frozenset | range | str):
        return value
    return value if hasattr(value, "isoformat") else _repr(value)


def _repr(value: object) -> str:
    """A value's ``repr``; one that fails is no reason for the task to fail."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 (the user's class)
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
