"""Runs Python and notebook pipelines on Ray and records them with OpenTelemetry."""

from spanbook.frames import Frames, load
from spanbook.kernel import upstream
from spanbook.log import log
from spanbook.pipeline import either, pipeline, unless, when
from spanbook.policy import Exponential
from spanbook.task import notebook_task, task

__all__ = [
    "Exponential",
    "Frames",
    "either",
    "load",
    "log",
    "notebook_task",
    "pipeline",
    "task",
    "unless",
    "upstream",
    "when",
]
