"""An attempt of a pipeline run as its runner tells of it, and MLflow's REST API by plain requests."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from spanbook_runfile import Run, encode, names, read_run


@dataclass
class Attempt:
    """One attempt of one task of a run, told of but not ended."""

    collector: Any
    run: str = field(default_factory=lambda: os.urandom(16).hex())
    root: str = field(default_factory=lambda: os.urandom(8).hex())
    task: str = field(default_factory=lambda: os.urandom(8).hex())
    span: str = field(default_factory=lambda: os.urandom(8).hex())

    @property
    def id(self) -> str:
        """Its MLflow run id."""
        return self.run + self.span

    @property
    def uri(self) -> str:
        """Its tracking URI."""
        return f"{self.collector.http}/mlflow/{self.id}"

    @property
    def owner(self) -> Any:
        """The resource of its records."""
        pairs = {
            names.SERVICE_NAME: "spanbook",
            names.PIPELINE_NAME: "pipe",
            names.PIPELINE_RUN_ID: self.run,
        }
        return encode.resource(pairs)

    def begin(self) -> "Attempt":
        """Send what a runner sends at the start."""
        told = [
            (self.root, names.Event.RUN_STARTED, {}),
            (self.task, names.Event.TASK_DECLARED, {names.TASK_NAME: "train"}),
            (self.span, names.Event.ATTEMPT_STARTED, {names.TASK_RUN_ID: self.task}),
        ]
        records = [
            encode.log_record(
                run_id=self.run,
                span_id=span,
                record_id=f"r{n}",
                time=1_000 + n,
                event=event,
                attrs=attrs,
            )
            for n, (span, event, attrs) in enumerate(told)
        ]
        self.collector.export("logs", encode.logs_request(self.owner, records).SerializeToString())
        return self

    def log(self, record_id: str) -> None:
        """Send one more record of the runner's."""
        record = encode.log_record(
            run_id=self.run, span_id=self.span, record_id=record_id, time=2_000, body="a line"
        )
        self.collector.export("logs", encode.logs_request(self.owner, [record]).SerializeToString())

    def end(self, records: int) -> None:
        """Send the spans; the run's declares so many log records of the runner's."""
        ends = [
            (self.span, self.task, {names.SPAN_TYPE: "attempt", names.ATTEMPT_RESULT: "success"}),
            (self.task, self.root, {names.SPAN_TYPE: "task", names.TASK_RESULT: "success",
                                    names.TASK_NAME: "train"}),
            (self.root, "", {names.SPAN_TYPE: "run", names.RESULT: "success",
                             names.DECLARED_SPANS: 3, names.DECLARED_LOG_RECORDS: records,
                             names.DECLARED_METRIC_POINTS: 0}),
        ]  # fmt: skip
        spans = [
            encode.span(run_id=self.run, span_id=span, parent_id=parent, name="x", start=1_000,
                        end=9_000, attrs=attrs, kind=1 if parent else 2)
            for span, parent, attrs in ends
        ]  # fmt: skip
        self.collector.export("traces", encode.trace_request(self.owner, spans).SerializeToString())

    def sealed(self) -> Run:
        """The run file, waited for."""
        self.collector.sealed(self.run)
        return read_run(self.collector.run_file(self.run))


@dataclass
class Api:
    """MLflow's REST API below one tracking URI."""

    uri: str

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer; a body that is bytes goes as it is."""
        data = (
            body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        )
        request = urllib.request.Request(f"{self.uri}{path}", data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw

    def post(self, path: str, **body: Any) -> Any:
        """A POST to ``api/2.0/mlflow`` that must succeed."""
        status, answer = self("POST", f"/api/2.0/mlflow/{path}", body)
        assert status == 200, answer
        return answer

    def get(self, path: str) -> Any:
        """A GET below ``api/2.0/mlflow`` that must succeed."""
        status, answer = self("GET", f"/api/2.0/mlflow/{path}")
        assert status == 200, answer
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, error code and message of a request that must be refused in MLflow's form."""
        status, answer = self(method, path, body)
        assert status >= 400, answer
        assert set(answer) == {"error_code", "message"}, answer
        return status, answer["error_code"], answer["message"]
