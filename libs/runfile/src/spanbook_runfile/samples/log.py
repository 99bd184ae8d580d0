"""What a composed run logs, record by record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.names import ArtifactKind, Event

if TYPE_CHECKING:
    from spanbook_runfile.samples.builder import SampleRun


class SampleLog:
    """What is logged on one span."""

    def __init__(self, run: SampleRun, span_id: str) -> None:
        self.run = run
        self.span_id = span_id
        self._number = 0

    def record(
        self,
        at: float,
        event: str = "",
        body: object = None,
        attrs: Mapping[str, object] | None = None,
        *,
        severity: int = SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text: str = "",
    ) -> LogRecord:
        """Send one log record."""
        self._number += 1
        time = self.run.at(at)
        record = encode.log_record(
            run_id=self.run.id,
            span_id=self.span_id,
            record_id=f"{self.span_id}-{self._number}",
            time=time,
            event=event,
            body=body,
            attrs=attrs,
            severity=severity,
            severity_text=severity_text,
        )
        self.run.send(time, Signal.LOGS, record)
        return record

    def parameters(self, at: float, **values: object) -> None:
        """Log parameters."""
        for key, value in values.items():
            self.record(at, Event.PARAMETER, value, {names.KEY: key})

    def tag(self, at: float, key: str, value: str) -> None:
        """Log a tag."""
        self.record(at, Event.TAG, value, {names.KEY: key})

    def value(self, at: float, key: str, value: object) -> None:
        """Log a JSON value."""
        self.record(at, Event.VALUE, value, {names.KEY: key})

    def metric(self, at: float, key: str, value: float, step: int | None = None) -> None:
        """Log one point of a metric."""
        attrs = {names.KEY: key, names.METRIC_VALUE: value, names.METRIC_STEP: step}
        self.record(at, Event.METRIC, None, attrs)

    def metric_batch(
        self, at: float, key: str, values: Sequence[float], steps: Sequence[int] = ()
    ) -> None:
        """Log many points of a metric in one record, a millisecond apart."""
        times = [self.run.at(at + i / 1000) for i in range(len(values))]
        attrs = {
            names.KEY: key,
            names.METRIC_VALUES: values,
            names.METRIC_STEPS: steps,
            names.METRIC_TIMES: times,
        }
        self.record(at, Event.METRIC_BATCH, None, attrs)

    def line(self, at: float, text: str, stream: str = "stdout") -> None:
        """Print a line."""
        self.record(at, "", text, {names.IOSTREAM: stream})

    def logging(self, at: float, text: str, level: str, logger: str) -> None:
        """Log a message through Python's logging."""
        number = {"INFO": 9, "WARNING": 13, "ERROR": 17}[level]
        self.record(at, "", text, {names.LOGGER_NAME: logger}, severity=number, severity_text=level)

    def exception(self, at: float, kind: str, message: str, stacktrace: str) -> None:
        """Log an exception."""
        attrs = {
            names.EXCEPTION_TYPE: kind,
            names.EXCEPTION_MESSAGE: message,
            names.EXCEPTION_STACKTRACE: stacktrace,
        }
        self.record(at, Event.EXCEPTION, None, attrs, severity=SeverityNumber.SEVERITY_NUMBER_ERROR)

    def artifact(
        self,
        at: float,
        path: str,
        data: bytes,
        media_type: str,
        kind: str = ArtifactKind.FILE,
        *,
        meta: Mapping[str, object] | None = None,
        version: int = 1,
        size: int | None = None,
        chunk_bytes: int = names.ARTIFACT_CHUNK_BYTES,
    ) -> None:
        """Log a file, in chunks; ``size`` is a lie where it is given."""
        chunks = [data[i : i + chunk_bytes] for i in range(0, len(data), chunk_bytes)] or [b""]
        for index, chunk in enumerate(chunks):
            attrs = {
                names.ARTIFACT_PATH: path,
                names.ARTIFACT_MEDIA_TYPE: media_type,
                names.ARTIFACT_SIZE: len(data) if size is None else size,
                names.ARTIFACT_SHA256: hashlib.sha256(data).hexdigest(),
                names.ARTIFACT_KIND: kind,
                names.ARTIFACT_META: meta,
                names.ARTIFACT_VERSION: version,
                names.CHUNK_INDEX: index,
                names.CHUNK_COUNT: len(chunks),
            }
            self.record(at, Event.ARTIFACT, chunk, attrs)
