"""Notebooks as the driver reads them: their text, and the arguments that they take."""

import ast
import inspect
from pathlib import Path
from typing import Any

from spanbook.attempt import NotebookSource
from spanbook.errors import PipelineError

SUFFIXES = (".py", ".md", ".ipynb")
ANY_ARGUMENTS = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])


def read_notebook(base: Path, path: Path) -> tuple[NotebookSource, inspect.Signature]:
    """Read a notebook; its signature is what its ``parameters`` cell assigns, in order.

    A notebook without such a cell takes any keyword arguments.

    Raises:
        PipelineError: there is no such file, or it is no notebook.
    """
    file = base / path
    if path.suffix not in SUFFIXES:
        raise PipelineError(
            f"{path} is no notebook by its name: it should end in {', '.join(SUFFIXES)}."
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        near = sorted(p.name for s in SUFFIXES for p in file.parent.glob(f"*{s}"))
        raise PipelineError(
            f"The notebook {path} cannot be read: {error}. The path is relative to {base}; "
            f"notebooks there: {', '.join(near) or 'none'}."
        ) from error
    return NotebookSource(path.as_posix(), str(file.parent), text, path.suffix), _signature(
        path, text
    )


def _signature(path: Path, text: str) -> inspect.Signature:
    if "parameters" not in text:
        return ANY_ARGUMENTS
    import jupytext  # noqa: PLC0415 (0.3 s: only pipelines with notebooks pay for it)

    try:
        notebook = jupytext.reads(text, fmt=path.suffix.lstrip("."))
    except Exception as error:
        raise PipelineError(f"The notebook {path} cannot be parsed: {error}") from error
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", ()):
            return _assigned(path, cell.source)
    return ANY_ARGUMENTS


def _assigned(path: Path, source: str) -> inspect.Signature:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise PipelineError(
            f"The parameters cell of {path} is not Python: line {error.lineno}, {error.msg}."
        ) from error
    found: dict[str, inspect.Parameter] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = inspect.Parameter(
                    target.id, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=CELL_DEFAULT
                )
    return inspect.Signature(list(found.values()))


class _CellDefault:
    """The value that the notebook's own cell gives."""

    def __repr__(self) -> str:
        return "…"


CELL_DEFAULT: Any = _CellDefault()
