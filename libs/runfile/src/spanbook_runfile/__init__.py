"""The spanbook run file: its names, its encoding, its seal and its reader."""

from spanbook_runfile.decode import parse_run, read_journal, read_run
from spanbook_runfile.errors import NotARunFileError, RunFileError, TooLargeError
from spanbook_runfile.live import LiveJournal
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
