"""Export requests in, one run file out: merged, without duplicates, in a fixed order.

Two passes, so that a run of any size is sealed in little memory: each item is written as JSON to a
scratch file as it comes, with an index entry of some hundred bytes in memory; then the items are
copied from there in order.
"""

import hashlib
import struct
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from spanbook_runfile import names, otlpjson
from spanbook_runfile.digest import SEALED
from spanbook_runfile.disk import sync_folder, write_aside, write_run_file
from spanbook_runfile.journal import Signal, read_frames
from spanbook_runfile.model import Counts
from spanbook_runfile.names import SealReason, SpanType
from spanbook_runfile.paths import RUN_ID
from spanbook_runfile.scratch import Hole, Reading, Scratch
from spanbook_runfile.wire import REQUESTS

Object = dict[str, Any]
_SECTIONS = {
    Signal.TRACES: (b"resourceSpans", b"scopeSpans", b"spans"),
    Signal.LOGS: (b"resourceLogs", b"scopeLogs", b"logRecords"),
    Signal.METRICS: (b"resourceMetrics", b"scopeMetrics", b"metrics"),
}
_TIME = struct.Struct(">Q")
_PLACE = struct.Struct(">QQ")  # offset and length in the scratch file
_BLOCK = 1 << 20  # bytes copied, hashed and written at once
_LARGE = 1 << 15  # bytes of a body that stay in the journal until the run file is written
# A record id's attribute, up to its value: key (tag, length, content), then the value's tag.
_RECORD_ID = b"\x0a" + bytes((len(names.RECORD_ID),)) + names.RECORD_ID.encode() + b"\x12"
_NO_ID = {b"\x00", b"\x02\x0a\x00"}
_DECLARES = f'"{names.DECLARED_SPANS}"'.encode()


Under: TypeAlias = tuple[bytes, str]
"""What items stand under: a resource's or scope's bytes as they came, and its schema URL."""

Item: TypeAlias = tuple[bytes, bytes, bytes]
"""A data point's metric up to its points, else nothing; the place in the order; the JSON."""


class Holed(bytes):
    """JSON of an item without the bytes of its body, which come in at ``at``."""

    at: int
    hole: Hole


class Merge:
    """The content of one run, gathered frame by frame.

    Spans dedupe by span id, log records by :data:`names.RECORD_ID` (those without, which are not
    ours, by their whole request), metric points by name, attributes and time; of duplicates the
    first stays. Records that are not of ``run_id`` are left out, and counted as strays.
    ``scratch`` is where the JSON goes until it is in order; in memory where none is given.
    """

    def __init__(self, run_id: str, scratch: BinaryIO | None = None) -> None:
        self.run_id = run_id
        self.duplicates = 0
        self.strays = 0
        self.unreadable = 0
        self.declared: Counts | None = None
        self._trace_id = bytes.fromhex(run_id)
        self._seen: set[object] = set()
        self._counts = dict.fromkeys(Signal, 0)
        self._scratch = Scratch(scratch)
        self._places: dict[Signal, dict[Under, dict[Under, dict[bytes, list[bytes]]]]]
        self._places = {signal: {} for signal in Signal}
        self._is_stray: dict[bytes, bool] = {}

    @classmethod
    def of_journal(cls, path: Path, run_id: str) -> "Merge":
        """The merge of a journal's whole frames, in memory."""
        merge = cls(run_id)
        merge.add_journal(path)
        return merge

    def add_journal(self, path: Path) -> None:
        """Add a journal's whole frames; one that holds no request is counted and passed over.

        Raises:
            NotARunFileError: it is no journal.
            OSError: it cannot be read, or the scratch file not be written.
        """
        with path.open("rb") as stream:
            for signal, payload, behind in read_frames(stream):
                try:
                    self.add(signal, payload, Hole(path, behind - len(payload), len(payload)))
                except DecodeError:
                    self.unreadable += 1

    def add(self, signal: Signal, payload: bytes, place: Hole | None = None) -> None:
        """Add one serialized export request; ``place`` is where in a journal it can be read again.

        Raises:
            google.protobuf.message.DecodeError: the payload is no such request.
        """
        texts: list[bytes] = []
        offset = self._scratch.size
        for owner, group, items in self.new_items(signal, payload, place):
            heads: dict[bytes, list[bytes]] = {}
            for head, key, text in items:
                size = len(text) + 1
                if isinstance(text, Holed):
                    self._scratch.leave(offset + 1 + text.at, text.hole)
                entry = key + _PLACE.pack(offset, size)
                if head in heads:
                    heads[head].append(entry)
                else:
                    heads[head] = [entry]
                offset += size
                texts += (b",", text)
            if heads:
                index = self._places[signal].setdefault(owner, {}).setdefault(group, {})
                for head, entries in heads.items():
                    index.setdefault(head, []).extend(entries)
        self._scratch.write(texts)

    def new_items(
        self, signal: Signal, payload: bytes, place: Hole | None = None
    ) -> Iterator[tuple[Under, Under, Iterator[Item]]]:
        """What a request holds that was not here yet, by resource and scope.

        With a ``place`` the JSON of a log record with a large body is :class:`Holed`.

        Raises:
            google.protobuf.message.DecodeError: the payload is no such request.
        """
        for owner in REQUESTS[signal].FromString(payload).owners:
            resource = (b"".join(owner.resource), owner.schema_url)
            for group in owner.groups:
                scope = (b"".join(group.scope), group.schema_url)
                if signal is Signal.TRACES:
                    yield resource, scope, self._spans(group.items)
                elif signal is Signal.LOGS:
                    yield resource, scope, self._records(resource, group.items, payload, place)
                else:
                    yield resource, scope, self._points(resource, scope, group.items)

    @property
    def received(self) -> Counts:
        """How much is here, duplicates not counted."""
        return Counts(
            self._counts[Signal.TRACES], self._counts[Signal.LOGS], self._counts[Signal.METRICS]
        )

    def _new(self, key: object) -> bool:
        if key in self._seen:
            self.duplicates += 1
            return False
        self._seen.add(key)
        return True

    def _spans(self, spans: Iterable[Any]) -> Iterator[Item]:
        pack = _TIME.pack
        for span in spans:
            span_id = span.span_id
            if span.trace_id != self._trace_id:
                self.strays += 1
            elif self._new(span_id):
                self._counts[Signal.TRACES] += 1
                text = otlpjson.span(span)
                if _DECLARES in text:
                    self._note_declared(text)
                yield b"", pack(span.start_time_unix_nano) + span_id, text

    def _note_declared(self, text: bytes) -> None:
        values = {pair["key"]: pair["value"] for pair in orjson.loads(text)["attributes"]}
        if values.get(names.SPAN_TYPE) == {"stringValue": SpanType.RUN}:
            keys = (names.DECLARED_SPANS, names.DECLARED_LOG_RECORDS, names.DECLARED_METRIC_POINTS)
            self.declared = Counts(*(int(values.get(k, {}).get("intValue", 0)) for k in keys))

    def _records(
        self, owner: Under, records: Iterable[Any], payload: bytes, place: Hole | None
    ) -> Iterator[Item]:
        digest = b""
        for number, record in enumerate(records):
            if record.trace_id != self._trace_id and (record.trace_id or self._strays(owner[0])):
                self.strays += 1
                continue
            # A value's bytes start with its length, so that "…-9" stands before "…-10".
            identity = next(
                (a[len(_RECORD_ID) :] for a in record.attributes if a.startswith(_RECORD_ID)), b""
            )
            if not identity or identity in _NO_ID:
                digest = digest or hashlib.blake2b(payload, digest_size=8).digest()
                identity = digest + _TIME.pack(number)
            if self._new(identity):
                self._counts[Signal.LOGS] += 1
                time = record.time_unix_nano or record.observed_time_unix_nano
                text = place and _holed(record, payload, place)
                yield b"", _TIME.pack(time) + identity, text or otlpjson.log_record(record)

    def _points(self, owner: Under, group: Under, metrics: Iterable[bytes]) -> Iterator[Item]:
        for raw in metrics:
            try:
                head, points = otlpjson.metric_head(Metric.FromString(raw))
            except DecodeError:
                self.unreadable += 1
                continue
            for point in points:
                if self._strays(owner[0]):
                    self.strays += 1
                    continue
                of = b"".join(pair.SerializeToString() for pair in point.attributes)
                time = _TIME.pack(point.time_unix_nano)
                if self._new((owner, group, head, time, of)):
                    self._counts[Signal.METRICS] += 1
                    key = time + len(of).to_bytes(4, "big") + of
                    yield head, key, otlpjson.data_point(point)

    def _strays(self, resource: bytes) -> bool:
        """Whether a resource says that it is another run's."""
        if resource not in self._is_stray:
            pairs = orjson.loads(otlpjson.resource(resource))["attributes"]
            values = {pair["key"]: pair["value"].get("stringValue", "") for pair in pairs}
            claimed = values.get(names.PIPELINE_RUN_ID, "")
            self._is_stray[resource] = bool(RUN_ID.fullmatch(claimed)) and claimed != self.run_id
        return self._is_stray[resource]

    # -- in order ---------------------------------------------------------------------------

    def _pieces(self, scratch: Reading) -> Iterator[bytes]:
        """The run file's text up to the ``spanbook`` member, in pieces."""
        start = b"{"
        for signal, (section, groups, items) in _SECTIONS.items():
            yield start + b'"%b":[' % section
            start = b","
            between = b""
            for (resource, schema_url), scopes in sorted(self._places[signal].items()):
                told = otlpjson.resource(resource)
                yield b'%b{"resource":%b,"%b":[' % (between, told, groups)
                between = b""
                for (scope, scope_schema), heads in sorted(scopes.items()):
                    told = otlpjson.scope(scope)
                    yield b'%b{"scope":%b,"%b":[' % (between, told, items)
                    yield from self._items(heads, scratch)
                    yield b"]" + _schema(scope_schema) + b"}"
                    between = b","
                yield b"]" + _schema(schema_url) + b"}"
            yield b"]"

    @staticmethod
    def _items(heads: dict[bytes, list[bytes]], scratch: Reading) -> Iterator[bytes]:
        between = b""
        for head, index in sorted(heads.items()):
            yield between + head
            index.sort()
            # The comma before each item lets neighbours be copied as one; the first one's is left.
            begin = end = 0
            for entry in index:
                offset, length = _PLACE.unpack_from(entry, len(entry) - _PLACE.size)
                if begin == end:
                    begin, end = offset + 1, offset + length
                elif offset == end and end - begin < _BLOCK:
                    end += length
                else:
                    yield from scratch.pieces(begin, end)
                    begin, end = offset, offset + length
            yield from scratch.pieces(begin, end)
            if head:
                yield otlpjson.METRIC_TAIL
            between = b","

    def _blocks(self) -> Iterator[bytes]:
        """The same, small pieces put together."""
        held: list[bytes] = []
        size = 0
        with self._scratch.reading() as scratch:
            for piece in self._pieces(scratch):
                if size and size + len(piece) >= _BLOCK:
                    yield b"".join(held)
                    held, size = [], 0
                if len(piece) >= _BLOCK:
                    yield piece
                else:
                    held.append(piece)
                    size += len(piece)
        yield b"".join(held)

    def sections(self) -> Object:
        """The three OTLP sections, as one object, in their fixed order."""
        whole: Object = orjson.loads(b"".join(self._blocks()) + b"}")
        return whole

    def write(self, stream: BinaryIO, reason: SealReason, now: datetime | None = None) -> None:
        """Write the run file's bytes; ``digest`` covers all before the ``,"spanbook"`` member."""
        digest = hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
            stream.write(block)
        note: Object = {
            "format": names.FORMAT_VERSION,
            "runId": self.run_id,
            "sealedAt": (now or datetime.now(UTC)).isoformat(timespec="milliseconds"),
            "reason": reason,
            "received": counts_json(self.received),
            "declared": self.declared and counts_json(self.declared),
            "complete": self.declared is not None and self.declared.within(self.received),
            "duplicates": self.duplicates,
            "digest": "sha256:" + digest.hexdigest(),
        }
        if self.unreadable:
            note["unreadable"] = self.unreadable
        stream.write(SEALED + orjson.dumps(note) + b"}\n")

    def seal(self, reason: SealReason, now: datetime | None = None) -> bytes:
        """The run file's bytes."""
        stream = BytesIO()
        self.write(stream, reason, now)
        return stream.getvalue()


def _holed(record: Any, payload: bytes, place: Hole) -> Holed | None:
    """A log record without its body, if that is large, bytes, and found in the payload."""
    raw = b"".join(record.body)
    begin = otlpjson.bytes_at(raw) if len(raw) >= _LARGE else 0
    found = payload.find(raw[:256]) if begin else -1
    if found < 0 or not payload.startswith(raw, found):
        return None
    before, behind = otlpjson.log_record_around(record)
    text = Holed(before + behind)
    text.at = len(before)
    text.hole = Hole(place.journal, place.offset + found + begin, len(raw) - begin)
    return text


def _schema(url: str) -> bytes:
    return b',"schemaUrl":' + orjson.dumps(url) if url else b""


def counts_json(counts: Counts) -> Object:
    """Counts as the ``spanbook`` member has them."""
    return {
        "spans": counts.spans,
        "logRecords": counts.log_records,
        "metricPoints": counts.metric_points,
    }


def seal_journal(
    journal: Path | Iterable[Path],
    runs: Path,
    run_id: str,
    reason: SealReason,
    now: datetime | None = None,
) -> Path:
    """Make a run file of a journal, or of several, in memory that grows with the items, not bytes.

    Needs room on the disk for the run file twice while it works. A file of that name is replaced.

    Raises:
        NotARunFileError: a file is no journal.
        OSError: the disk refused; nothing bears the run file's name then.
    """
    journals = [journal] if isinstance(journal, Path) else list(journal)
    with tempfile.TemporaryFile(dir=runs, prefix=f".{run_id}.", buffering=_BLOCK) as scratch:
        merge = Merge(run_id, cast("BinaryIO", scratch))
        for path in journals:
            merge.add_journal(path)
        return write_aside(runs, run_id, lambda stream: merge.write(stream, reason, now))


__all__ = [
    "Merge",
    "counts_json",
    "seal_journal",
    "sync_folder",
    "write_aside",
    "write_run_file",
]
