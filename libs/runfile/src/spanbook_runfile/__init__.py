"""The spanbook run file: its names, its encoding, its seal and its reader."""

from typing import TYPE_CHECKING

from spanbook_runfile.decode import parse_run, read_journal, read_run
from spanbook_runfile.errors import NotARunFileError, RunFileError, TooLargeError
from spanbook_runfile.model import (
    Artifact,
    Attempt,
    Counts,
    ExceptionInfo,
    LogLine,
    Metric,
    OtherSpan,
    Run,
    Seal,
    Task,
    UsageSample,
)

if TYPE_CHECKING:
    from spanbook_runfile.live import LiveJournal

__all__ = [
    "Artifact",
    "Attempt",
    "Counts",
    "ExceptionInfo",
    "LiveJournal",
    "LogLine",
    "Metric",
    "NotARunFileError",
    "OtherSpan",
    "Run",
    "RunFileError",
    "Seal",
    "Task",
    "TooLargeError",
    "UsageSample",
    "parse_run",
    "read_journal",
    "read_run",
]


def __getattr__(name: str) -> object:
    """``LiveJournal`` on demand: it brings protobuf, which no run file needs."""
    if name != "LiveJournal":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spanbook_runfile.live import LiveJournal  # noqa: PLC0415

    return LiveJournal
