"""A run file read with nothing but ``json``: what any other tool would see."""

import json
from pathlib import Path
from typing import Any

Object = dict[str, Any]


def attributes(item: Object) -> dict[str, Any]:
    """OTLP JSON attributes whose values are scalars."""
    return {
        pair["key"]: next(iter(pair["value"].values()), None) for pair in item.get("attributes", ())
    }


class RawRun:
    """The spans and log records of a run file."""

    def __init__(self, path: Path) -> None:
        self.whole: Object = json.loads(path.read_text())
        self.spans: list[Object] = [
            span
            for block in self.whole["resourceSpans"]
            for scope in block["scopeSpans"]
            for span in scope["spans"]
        ]
        self.records: list[Object] = [
            record
            for block in self.whole["resourceLogs"]
            for scope in block["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def of_type(self, kind: str) -> list[Object]:
        """Spans of one ``spanbook.span.type``."""
        return [span for span in self.spans if attributes(span).get("spanbook.span.type") == kind]

    @property
    def run_span(self) -> Object:
        """The one run span."""
        (span,) = self.of_type("run")
        return span

    @property
    def result(self) -> str:
        """The run's result."""
        return str(attributes(self.run_span)["cicd.pipeline.result"])

    def results(self) -> dict[str, str]:
        """The result of each task, by title."""
        return {
            self.title(span): attributes(span)["cicd.pipeline.task.run.result"]
            for span in self.of_type("task")
        }

    def logged(self, event: str, *spans: Object) -> list[Object]:
        """The records of an event, on these spans or on any."""
        found = [r for r in self.records if r.get("eventName") == event]
        owners = {span["spanId"] for span in spans}
        return [r for r in found if r.get("spanId") in owners] if spans else found

    def title(self, task: Object) -> str:
        """A task's name, with its training-set size where it has one."""
        own = [s for s in self.of_type("attempt") if s["parentSpanId"] == task["spanId"]]
        for record in self.logged("spanbook.parameter", *own) if own else ():
            if attributes(record)["spanbook.key"] == "nr_train_images":
                return f"{task['name']} {record['body']['intValue']}"
        return str(task["name"])

    def dag(self) -> set[tuple[str, str]]:
        """Every edge, upstream first, from the task spans' links."""
        titles = {span["spanId"]: self.title(span) for span in self.of_type("task")}
        return {
            (titles[link["spanId"]], titles[span["spanId"]])
            for span in self.of_type("task")
            for link in span.get("links", ())
            if attributes(link)["spanbook.link.type"] == "upstream"
        }

    def printed(self) -> list[str]:
        """Every printed line."""
        return [r["body"]["stringValue"] for r in self.records if "log.iostream" in attributes(r)]

    def exceptions(self) -> list[str]:
        """The type of each recorded exception."""
        found = (attributes(r).get("exception.type") for r in self.records)
        return [kind for kind in found if kind]


def demo_dag(*sizes: int) -> set[tuple[str, str]]:
    """The demo's edges, exactly, for these training-set sizes."""
    edges = {("ingest", "eda"), ("ingest", "split_train_test")}
    for size in sizes:
        edges |= {
            ("split_train_test", f"train_model {size}"),
            (f"train_model {size}", f"benchmark-model {size}"),
            (f"benchmark-model {size}", "summary"),
        }
    return edges
