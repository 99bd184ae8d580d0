"""What can go wrong before, during and after a run, told so that it can be mended."""

import os
import traceback
from pathlib import Path
from typing import Any


class SpanbookError(Exception):
    """Any error that spanbook raises itself; each survives pickling."""


class UsageError(SpanbookError):
    """The command or a setting is wrong; nothing has run. Exit code 2."""


class PipelineError(UsageError):
    """The pipeline cannot be built: an import, an argument, a name or a value is wrong."""


class ParameterError(UsageError):
    """A pipeline parameter is unknown, missing, or not of its type."""


class TaskError(SpanbookError):
    """A task cannot run as declared; raised in the worker, shown as the task's failure."""


class LogError(TaskError):
    """Something cannot be logged as it was given; the message says what can."""


class ValueTooLargeError(LogError):
    """A value or file is over the limit of what one record or artifact may hold."""


class UpstreamError(TaskError):
    """A notebook asked for an upstream value that it was not given."""


class KernelError(SpanbookError):
    """A notebook's kernel did not start, or died."""


class PortInUseError(UsageError):
    """Another program listens where a service of local mode should."""


class ServiceError(SpanbookError):
    """A service of local mode did not start or died."""


class SpoolError(SpanbookError):
    """The run's records cannot be written to disk."""


class LoadError(SpanbookError):
    """There is nothing to load where it was said to be."""


def one_of(word: str, known: Any) -> str:
    """A hint for a misspelt word: the nearest known one, or all of them."""
    import difflib  # noqa: PLC0415

    names = sorted(str(name) for name in known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return "Known are: " + ", ".join(names) + "." if names else "There are none."


def user_traceback(error: BaseException) -> str:
    """The traceback without importlib's and our own frames."""
    ours = str(Path(__file__).parent) + os.sep
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen importlib"))
        and f"importlib{os.sep}__init__.py" not in frame.filename
    ]
    head = "Traceback (most recent call last):\n" if frames else ""
    text = head + "".join(traceback.format_list(frames))
    return (text + "".join(traceback.format_exception_only(error))).rstrip()
