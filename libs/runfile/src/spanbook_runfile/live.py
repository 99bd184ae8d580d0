"""A run in progress, read on from where one was."""

from pathlib import Path

import orjson
from google.protobuf.message import DecodeError

from spanbook_runfile import otlpjson
from spanbook_runfile.decoder import Decoder
from spanbook_runfile.journal import Signal, read_frames
from spanbook_runfile.merge import Merge
from spanbook_runfile.model import Json, Run
from spanbook_runfile.values import attributes_of


class LiveJournal:
    """The journal of a run in progress; each :meth:`refresh` decodes only what is new in it."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self.run_id = run_id
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._merge = Merge(self.run_id)
        self._decoder = Decoder()
        self._resources: dict[bytes, dict[str, Json]] = {}
        self._run: Run | None = None

    def refresh(self) -> Run:
        """The run as far as it has come; the same object where nothing came since.

        Raises:
            NotARunFileError: it is no journal.
            OSError: it cannot be read; FileNotFoundError once the run is sealed.
        """
        with self.path.open("rb") as stream:
            if self.path.stat().st_size < self._offset:  # another journal took its place
                self._forget()
            for signal, payload, end in read_frames(stream, start=self._offset, growing=True):
                self._offset = end
                self._run = None
                try:
                    self._add(signal, payload)
                except DecodeError:
                    self._merge.unreadable += 1
        if self._run is None:
            self._run = self._decoder.run(self.run_id)
        return self._run

    def _add(self, signal: Signal, payload: bytes) -> None:
        for (raw, _), _, items in self._merge.new_items(signal, payload):
            resource = self._resources.get(raw)
            if resource is None:
                told = orjson.loads(otlpjson.resource(raw))
                resource = self._resources[raw] = attributes_of(told["attributes"])
            for head, _, text in items:
                if signal is Signal.TRACES:
                    self._decoder.add_span(resource, orjson.loads(text))
                elif signal is Signal.LOGS:
                    self._decoder.add_record(resource, orjson.loads(text))
                else:
                    metric = orjson.loads(head + text + otlpjson.METRIC_TAIL)
                    self._decoder.add_metric(resource, metric)
