"""The notebook as a document: read, given its arguments, and written within bounds."""

import contextlib
import copy
from collections.abc import Mapping
from typing import Any, Final

import cloudpickle
import jupytext
import nbformat

from spanbook.attempt import NotebookSource
from spanbook.errors import TaskError

MAX_LITERAL: Final = 2000  # characters of a parameter that is written into the notebook


def read_notebook(source: NotebookSource) -> Any:
    """The notebook's cells, without outputs that a file may hold."""
    notebook = jupytext.reads(source.text, fmt=source.suffix.lstrip("."))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments that are written into the notebook, and those that are handed over."""
    literals, upstream = {}, {}
    for name, value in arguments.items():
        plain = _literal(value)
        if plain is _NO_LITERAL or len(repr(plain)) > MAX_LITERAL:
            upstream[name] = value
        else:
            literals[name] = plain
    return literals, upstream


_NO_LITERAL: Final = object()


def _literal(value: Any) -> Any:
    """A value as code can spell it, or :data:`_NO_LITERAL`."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        items = [_literal(item) for item in value[: MAX_LITERAL + 1]]
        return _NO_LITERAL if any(item is _NO_LITERAL for item in items) else items
    if kind is dict and all(type(key) is str for key in value):
        pairs = {key: _literal(item) for key, item in value.items()}
        return _NO_LITERAL if any(v is _NO_LITERAL for v in pairs.values()) else pairs
    return _NO_LITERAL


def pickled(name: str, value: object) -> bytes:
    """An argument as a notebook's kernel gets it.

    Raises:
        TaskError: it does not pickle.
    """
    try:
        return bytes(cloudpickle.dumps(value, protocol=5))
    except Exception as error:
        raise TaskError(
            f"The argument {name!r} cannot be handed to a notebook: {type(value).__name__} does "
            f"not pickle ({error})."
        ) from error


def unpickled(result: bytes) -> Any:
    """What a notebook handed over.

    Raises:
        TaskError: it cannot be read outside the notebook.
    """
    try:
        return cloudpickle.loads(result)
    except Exception as error:
        raise TaskError(
            f"What the notebook handed over by log.result cannot be read outside it: {error}. It "
            "may be of a class from a module that only the notebook finds; hand plain data over."
        ) from error


def fitting(notebook: Any, limit: int) -> str:
    """The notebook as JSON of at most about ``limit`` bytes: its largest outputs give way."""
    text = _written(notebook)
    if len(text) <= limit:
        return text
    notebook = copy.deepcopy(notebook)
    outputs = [o for c in notebook.cells for o in c.get("outputs", ())]
    over = len(text) - limit
    for size, output in sorted(((len(str(o)), o) for o in outputs), key=lambda x: -x[0]):
        if over <= 0:
            break
        output.clear()
        note = f"[an output of about {size:,} bytes is left out: the notebook is over {limit:,}]\n"
        output.update(output_type="stream", name="stderr", text=note)
        over -= size
    return _written(notebook)


def _written(notebook: Any) -> str:
    """The notebook as JSON, also while another thread adds to it."""
    for _ in range(5):
        with contextlib.suppress(RuntimeError):  # a dict changed size meanwhile
            return str(nbformat.writes(notebook))  # type: ignore[no-untyped-call]
    return str(nbformat.writes(copy.deepcopy(notebook)))  # type: ignore[no-untyped-call]
