"""What is told of the exception that ended an attempt."""

import os
import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import ray

from spanbook.errors import TaskError

if TYPE_CHECKING:
    from spanbook.task import Task

_FRAMEWORK = tuple(os.path.dirname(m) + os.sep for m in (__file__, ray.__file__))  # noqa: PTH120
MAX_MESSAGE: Final = 16 << 10  # characters
MAX_TRACE: Final = 128 << 10


def user_frames(error: BaseException) -> str:
    """The traceback as the user's own code sees it: without the frames of spanbook and Ray on top."""
    return _cut(_frames(error), MAX_TRACE)


def _frames(error: BaseException) -> str:
    text = getattr(error, "stacktrace", None)
    if isinstance(text, str):
        return text
    shown: TracebackType | None = error.__traceback__
    while shown is not None and is_framework(shown.tb_frame.f_code.co_filename):
        shown = shown.tb_next
    if shown is None and isinstance(error, TaskError):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(type(error), error, shown))


def is_framework(filename: str) -> bool:
    """Whether a file is of spanbook or Ray."""
    return filename.startswith(_FRAMEWORK)


def type_name(error: BaseException) -> str:
    """The class of an exception, with its module; of a notebook's error that raised in the cell."""
    override = getattr(error, "error_type", None)
    if isinstance(override, str):
        return override
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def message(error: BaseException) -> str:
    """What an exception says of itself."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (a broken __str__ must not hide the error itself)
        text = "(its message cannot be shown)"
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({text})"
    return _cut(text, MAX_MESSAGE)


def _cut(text: str, limit: int) -> str:
    """A text that fits into a record: its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters are left out …\n{text[-half:]}"


def wants_retry(task: "Task[..., Any] | None", error: BaseException) -> bool:
    """Whether the task's policy takes this error for worth another try."""
    if task is None:
        return True
    try:
        return task.policy.wants_retry(error)
    except Exception as broken:  # noqa: BLE001 (the user's predicate)
        sys.stderr.write(f"retry_if of {task.name!r} raised {broken!r}; the task is retried.\n")
        return True
