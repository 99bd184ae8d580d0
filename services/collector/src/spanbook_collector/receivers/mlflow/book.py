"""A run in progress, as far as MLflow asks about it: read from its journal, and read on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from spanbook_runfile import names, otlpjson
from spanbook_runfile.decoder import Decoder
from spanbook_runfile.errors import NotARunFileError
from spanbook_runfile.journal import Signal, read_frames
from spanbook_runfile.model import Artifact, Json
from spanbook_runfile.names import Event
from spanbook_runfile.values import attributes_of, int_of, text_of
from spanbook_runfile.wire import REQUESTS

OURS = "mlflow."  # how the ids of records begin that came by MLflow
_PASSED_OVER = frozenset({"", Event.EXCEPTION, Event.OUTPUT_TRUNCATED})

Place = tuple[int, int]  # of a chunk: where its frame begins in the journal, and its number there


class Book:
    """What one run's journal holds; bodies of artifacts stay on the disk."""

    def __init__(self, run_id: str, path: Path) -> None:
        self.id = run_id
        self.path = path
        self.decoder = Decoder()
        self.resource: dict[str, Json] = {}
        self.owner = Resource()
        self.params: dict[tuple[str, str], str] = {}  # (span, key) → value, of those by MLflow
        self.root = ""
        self.offset = 0  # bytes of the journal that are read
        self._seen: set[str] = set()
        self._spans: set[bytes] = set()
        self._places: dict[tuple[str, str, int], dict[int, Place]] = {}

    @property
    def records(self) -> int:
        """How many log records there are, duplicates not counted."""
        return len(self._seen)

    @property
    def spans(self) -> int:
        """How many spans there are."""
        return len(self._spans)

    def follow(self, durable: int) -> "Book":
        """Read what is new among the first ``durable`` bytes of the journal.

        What stands behind them may yet be taken back.

        Raises:
            OSError: it cannot be read; FileNotFoundError once the run is sealed.
        """
        try:
            with self.path.open("rb") as stream:
                start = self.offset
                for signal, payload, end in read_frames(stream, start=start):
                    if end > durable:
                        break
                    if signal is not Signal.METRICS:
                        self._add(signal, payload, start)
                    start = self.offset = end
        except NotARunFileError:
            pass
        return self

    def _add(self, signal: Signal, payload: bytes, frame: int) -> None:
        try:
            request = REQUESTS[signal].FromString(payload)
        except DecodeError:
            return
        number = -1
        for owner in request.owners:
            resource = self._owner(b"".join(owner.resource))
            for group in owner.groups:
                for item in group.items:
                    number += 1
                    if signal is Signal.TRACES:
                        self._spans.add(item.span_id)
                        self.decoder.add_span(resource, orjson.loads(otlpjson.span(item)))
                    else:
                        self._record(resource, item, (frame, number))

    def _owner(self, raw: bytes) -> dict[str, Json]:
        told = attributes_of(orjson.loads(otlpjson.resource(raw))["attributes"])
        if names.PIPELINE_NAME in told and names.PIPELINE_NAME not in self.resource:
            self.resource, self.owner = told, Resource.FromString(raw)
        return told

    def _record(self, resource: dict[str, Json], item: Any, place: Place) -> None:
        event = item.event_name
        if event == Event.ARTIFACT:
            del item.body[:]
        elif event in _PASSED_OVER:
            item.ClearField("body")
        record = orjson.loads(otlpjson.log_record(item))
        attrs = attributes_of(record.get("attributes"))
        record_id = text_of(attrs.get(names.RECORD_ID)) or f"{place}"
        if record_id in self._seen:
            return
        self._seen.add(record_id)
        if event in _PASSED_OVER:
            return
        span = text_of(record.get("spanId"))
        self.decoder.add_record(resource, record)
        if event == Event.ARTIFACT:
            slot = (
                span,
                text_of(attrs.get(names.ARTIFACT_PATH)),
                int_of(attrs.get(names.ARTIFACT_VERSION), 1),
            )
            self._places.setdefault(slot, {})[int_of(attrs.get(names.CHUNK_INDEX))] = place
        elif event == Event.PARAMETER and record_id.startswith(OURS):
            key = text_of(attrs.get(names.KEY))
            self.params[span, key] = text_of(self.decoder.logged(span).parameters.get(key))
        elif event == Event.RUN_STARTED:
            self.root = span

    def versions(self, span: str, path: str) -> int:
        """How many versions of an artifact there are, whole or not."""
        return max((v for s, p, v in self._places if (s, p) == (span, path)), default=0)

    def content(self, span: str, artifact: Artifact) -> Iterator[bytes]:
        """An artifact's bytes, chunk by chunk, from the journal.

        Raises:
            OSError: it cannot be read.
        """
        places = self._places[span, artifact.path, artifact.version]
        with self.path.open("rb") as stream:
            for _, (frame, number) in sorted(places.items()):
                _, payload, _ = next(read_frames(stream, start=frame))
                items = (
                    item
                    for owner in REQUESTS[Signal.LOGS].FromString(payload).owners
                    for group in owner.groups
                    for item in group.items
                )
                yield _bytes(next(item for i, item in enumerate(items) if i == number))


def _bytes(item: Any) -> bytes:
    content: bytes = AnyValue.FromString(b"".join(item.body)).bytes_value
    return content
