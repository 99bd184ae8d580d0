"""The seal: conforming OTLP JSON, the same bytes in whatever order things came, nothing twice."""

import hashlib
import itertools
import os
import random
import stat
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oracle import messages, read_all, same
from spanbook_runfile import NotARunFileError, encode, names, parse_run, samples
from spanbook_runfile.journal import MAGIC, Signal, frame, read_frames, whole_length
from spanbook_runfile.merge import Merge, seal_journal, write_run_file
from spanbook_runfile.names import SealReason

RUN = "5b8efff798038103d269b633813fc60c"
THEN = datetime(2026, 11, 22, tzinfo=UTC)


def merged(frames: list[tuple[Signal, bytes]], run_id: str = RUN) -> bytes:
    """The run file of some frames."""
    merge = Merge(run_id)
    for signal, payload in frames:
        merge.add(signal, payload)
    return merge.seal(SealReason.COMPLETE, THEN)


# -- conforming ----------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    messages(Span), messages(Resource, 2), messages(InstrumentationScope, 2), st.text(max_size=5)
)
def test_any_span(span: Span, owner: Resource, scope: InstrumentationScope, url: str) -> None:
    """Any span is read by the other codec as it was sent."""
    span.trace_id = bytes.fromhex(RUN)
    request = ExportTraceServiceRequest()
    outer = request.resource_spans.add(resource=owner, schema_url=url)
    outer.scope_spans.add(scope=scope, spans=[span], schema_url=url)
    content = merged([(Signal.TRACES, request.SerializeToString())])
    same(request, read_all(content)[Signal.TRACES])


@settings(max_examples=150, deadline=None)
@given(messages(LogRecord, 4))
def test_any_log_record(record: LogRecord) -> None:
    """Any log record is read by the other codec as it was sent."""
    record.trace_id = bytes.fromhex(RUN)
    request = ExportLogsServiceRequest()
    outer = request.resource_logs.add(resource=Resource())
    outer.scope_logs.add(scope=InstrumentationScope(), log_records=[record])
    content = merged([(Signal.LOGS, request.SerializeToString())])
    same(request, read_all(content)[Signal.LOGS])


@settings(max_examples=150, deadline=None)
@given(messages(Metric, 4))
def test_any_metric(metric: Metric) -> None:
    """Any metric with points is read by the other codec as it was sent."""
    request = ExportMetricsServiceRequest()
    outer = request.resource_metrics.add(resource=Resource())
    outer.scope_metrics.add(scope=InstrumentationScope(), metrics=[metric])
    content = merged([(Signal.METRICS, request.SerializeToString())])
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points if kind else []
    if len(points) == 1:
        same(request, read_all(content)[Signal.METRICS])
    note = orjson.loads(content)["spanbook"]
    assert note["received"]["metricPoints"] + note["duplicates"] == len(points)


@pytest.mark.parametrize("name", samples.SEALED)
def test_samples_conform(name: str) -> None:
    """Each sample is TracesData, LogsData and MetricsData, and holds what the frames held."""
    run = samples.SEALED[name]()
    sent = dict.fromkeys(Signal, 0)
    for _, signal, _ in run.sent:
        sent[signal] += 1
    found = read_all(samples.sealed(name))
    spans = [s for r in found[Signal.TRACES].resource_spans for g in r.scope_spans for s in g.spans]
    logs = [
        x for r in found[Signal.LOGS].resource_logs for g in r.scope_logs for x in g.log_records
    ]
    points = [
        point
        for r in found[Signal.METRICS].resource_metrics
        for g in r.scope_metrics
        for m in g.metrics
        for point in m.gauge.data_points
    ]
    assert (len(spans), len(logs), len(points)) == tuple(sent.values())


def test_one_metric_is_one_object() -> None:
    """Points that came in many requests stand under one metric, in the order of time."""
    whole = orjson.loads(samples.sealed("ok"))
    metrics = whole["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert [m["name"] for m in metrics] == [names.CPU_UTILIZATION, names.MEMORY_USAGE]
    times = [int(point["timeUnixNano"]) for point in metrics[0]["gauge"]["dataPoints"]]
    assert times == sorted(times)
    assert len(times) > 20


# -- order and duplicates ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ok", "failed", "retried", "hostile", "foreign", "wide"])
@pytest.mark.parametrize("seed", range(5))
def test_order_does_not_matter(name: str, seed: int) -> None:
    """Frames in any order, and some of them twice, give the same bytes but for the duplicates."""
    run = samples.SEALED[name]()
    frames = list(run.frames())
    shuffled = frames + random.Random(seed).choices(frames, k=3)
    random.Random(seed).shuffle(shuffled)
    before, _, note = merged(frames, run.id).rpartition(b',"spanbook":')
    after, _, other = merged(shuffled, run.id).rpartition(b',"spanbook":')
    assert after == before
    first, second = orjson.loads(note[:-2]), orjson.loads(other[:-2])
    assert second.pop("duplicates") > 0 == first.pop("duplicates")
    assert first == second


def test_split_differently() -> None:
    """A retry that packs the same records into other requests doubles nothing."""
    run = samples.SEALED["ok"]()
    once = merged(list(run.frames()), run.id)
    again = [(signal, run._request(signal, [item])) for _, signal, item in reversed(run.sent)]
    twice = merged([*run.frames(), *again], run.id)
    assert twice.rpartition(b',"spanbook"')[0] == once.rpartition(b',"spanbook"')[0]


def test_record_ids_count() -> None:
    """Of records of one time the one with the lower number stands first: 9 before 10."""
    owner = encode.resource({})
    records = [
        encode.log_record(run_id=RUN, span_id="0" * 15 + "1", record_id=f"a-{n}", time=5, body=n)
        for n in range(12)
    ]
    payload = encode.logs_request(owner, reversed(records)).SerializeToString()
    whole = orjson.loads(merged([(Signal.LOGS, payload)]))
    found = whole["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [record["body"]["intValue"] for record in found] == [str(n) for n in range(12)]


def test_records_without_id() -> None:
    """Records without an id (of other SDKs): a request sent twice counts once, equal ones stay."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add().scope_logs.add()
    for text in ("same", "same", "other"):
        group.log_records.add(time_unix_nano=1).body.string_value = text
    frame_ = (Signal.LOGS, request.SerializeToString())
    whole = orjson.loads(merged([frame_, frame_]))
    found = whole["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [record["body"]["stringValue"] for record in found] == ["same", "same", "other"]


def test_strays() -> None:
    """What is another run's is left out and counted: by trace id, and by the resource's run id."""
    other = samples.SEALED["ok"]()
    merge = Merge(RUN)
    for signal, payload in other.frames():
        merge.add(signal, payload)
    assert merge.strays == len(other.sent)
    assert merge.received == type(merge.received)(0, 0, 0)


def test_two_services_of_one_metric() -> None:
    """The same metric at the same time from two resources is no duplicate."""
    frames = []
    for service in ("a", "b"):
        gauge = encode.gauge("load", "1", [(5, 1.0, {})])
        request = encode.metrics_request(encode.resource({"service.name": service}), [gauge])
        frames.append((Signal.METRICS, request.SerializeToString()))
    assert orjson.loads(merged(frames))["spanbook"]["received"]["metricPoints"] == 2


# -- the note ------------------------------------------------------------------------------


def test_digest() -> None:
    """The digest is of all bytes before the last ``,"spanbook"``."""
    content = samples.sealed("hostile")
    body, _, _ = content.rpartition(b',"spanbook":')
    assert (
        orjson.loads(content)["spanbook"]["digest"] == "sha256:" + hashlib.sha256(body).hexdigest()
    )


def test_only_the_run_span_declares() -> None:
    """A span that is not the run's cannot declare a run complete."""
    attrs = {names.SPAN_TYPE: "task", names.DECLARED_SPANS: 1}
    span = encode.span(run_id=RUN, span_id="0" * 15 + "1", name="x", start=1, end=2, attrs=attrs)
    payload = encode.trace_request(encode.resource({}), [span]).SerializeToString()
    assert orjson.loads(merged([(Signal.TRACES, payload)]))["spanbook"]["complete"] is False


# -- journals and disks --------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of the demo run."""
    path = tmp_path / "demo.journal"
    path.write_bytes(samples.SEALED["ok"]().journal())
    return path


def test_seal_a_journal(journal: Path, tmp_path: Path) -> None:
    """A journal becomes the bytes that a merge in memory gives, read-only, nothing beside it."""
    run = samples.SEALED["ok"]()
    runs = tmp_path / "runs"
    runs.mkdir()
    path = seal_journal(journal, runs, run.id, SealReason.COMPLETE, THEN)
    assert path.read_bytes() == merged(list(run.frames()), run.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list(runs.iterdir()) == [path]


def test_seal_several(journal: Path, tmp_path: Path) -> None:
    """Several journals of one run, which overlap, become one file without duplicates."""
    run = samples.SEALED["ok"]()
    frames = [frame(signal, payload) for signal, payload in run.frames()]
    late = tmp_path / "late.journal"
    late.write_bytes(MAGIC + b"".join(frames[1:]))
    early = tmp_path / "early.journal"
    early.write_bytes(MAGIC + b"".join(frames[:3]))
    path = seal_journal([late, early], tmp_path, run.id, SealReason.IMPORT, THEN)
    whole = parse_run(path.read_bytes())
    assert whole.seal is not None
    assert whole.seal.complete
    assert whole.seal.duplicates > 0


def _records(*sizes: int) -> list[tuple[Signal, bytes]]:
    """A request for each two records, of bodies of so many bytes."""
    owner, rng, frames = encode.resource({}), random.Random(3), []
    for first in range(0, len(sizes), 2):
        records = [
            encode.log_record(
                run_id=RUN,
                span_id="0" * 15 + "1",
                record_id=f"r-{len(sizes) - number}",
                time=(number * 7) % 5,
                body=rng.randbytes(sizes[number]),
                attrs={names.ARTIFACT_PATH: "é", names.CHUNK_INDEX: number},
            )
            for number in range(first, min(first + 2, len(sizes)))
        ]
        records[0].flags = 1
        request = encode.logs_request(owner, records).SerializeToString()
        frames.append((Signal.LOGS, request))
    return frames


def test_large_bodies(tmp_path: Path) -> None:
    """Bytes that stay in their journals till the end are the same as in a merge in memory."""
    frames = _records(0, 1 << 20, 40_000, 5, 7 << 20, 100, 1 << 15, (3 << 20) + 1, 65_537)
    paths = [tmp_path / "a.journal", tmp_path / "b.journal"]
    for path, some in zip(paths, (frames[:2], frames[1:]), strict=True):
        path.write_bytes(MAGIC + b"".join(frame(*one) for one in some))
    sealed = seal_journal(paths, tmp_path, RUN, SealReason.IMPORT, THEN).read_bytes()
    whole = merged(frames).partition(b',"spanbook":')[0]
    assert sealed.partition(b',"spanbook":')[0] == whole


def test_a_journal_that_shrinks(tmp_path: Path) -> None:
    """Where a journal loses bytes in the course of a seal, that is an error, and no run file."""
    path = tmp_path / "x.journal"
    path.write_bytes(MAGIC + b"".join(frame(*one) for one in _records(100_000, 100_000)))
    merge = Merge.of_journal(path, RUN)
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(OSError, match="has no"):
        merge.seal(SealReason.IDLE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_torn(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A journal cut anywhere, or with a byte changed, gives its whole frames and never an error."""
    content = bytearray(samples.SEALED["retried"]().journal())
    whole = list(read_frames(BytesIO(content)))
    at = data.draw(st.integers(len(MAGIC), len(content) - 1))
    is_cut = data.draw(st.booleans())
    if is_cut:
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("torn") / "torn.journal"
    path.write_bytes(content)
    before = [entry for entry in whole if entry[2] <= at]
    left = list(read_frames(BytesIO(content)))
    behind = left[len(before) :]
    assert left[: len(before)] == before
    assert behind == ([] if is_cut else whole[len(whole) - len(behind) :])
    assert len(left) < len(whole)
    assert whole_length(path) == (left[-1][2] if left else len(MAGIC))
    parse_run(Merge.of_journal(path, samples.SEALED["retried"]().id).seal(SealReason.IDLE))


def test_an_unreadable_frame(tmp_path: Path) -> None:
    """A frame that is no request is counted, and the rest is sealed."""
    run = samples.SEALED["empty"]()
    path = tmp_path / "x.journal"
    path.write_bytes(run.journal() + frame(Signal.TRACES, b"\xff\xff not protobuf"))
    note = orjson.loads(seal_journal(path, tmp_path, run.id, SealReason.IDLE).read_bytes())
    assert note["spanbook"]["unreadable"] == 1
    assert note["spanbook"]["received"]["spans"] == 1


def test_no_journal(tmp_path: Path) -> None:
    """A file that is no journal is refused, and nothing is left behind."""
    path = tmp_path / "x.journal"
    path.write_bytes(b"something else entirely")
    runs = tmp_path / "runs"
    runs.mkdir()
    with pytest.raises(NotARunFileError, match="no spanbook journal"):
        seal_journal(path, runs, RUN, SealReason.IDLE)
    assert not list(runs.iterdir())


def test_an_empty_journal(tmp_path: Path) -> None:
    """A journal of no frames becomes an empty run file, and not an error."""
    path = tmp_path / "x.journal"
    path.write_bytes(MAGIC)
    run = parse_run(seal_journal(path, tmp_path, RUN, SealReason.IDLE).read_bytes())
    assert run.id == RUN
    assert run.state == "trace"


def test_write_fails(tmp_path: Path) -> None:
    """Where the disk refuses, nothing bears the run file's name and nothing else is left."""
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / f"{RUN}.json").mkdir()  # a rename onto a folder fails
    with pytest.raises(OSError, match=r"."):
        write_run_file(folder, RUN, b"content")
    assert [p.name for p in folder.iterdir()] == [f"{RUN}.json"]


def test_large_files_are_synced_by_and_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync has to write all of a large run file at once, which others would wait for."""
    sizes: list[int] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        sizes.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", counted)
    path = tmp_path / "x.journal"
    path.write_bytes(MAGIC + b"".join(frame(*one) for one in _records(*[3 << 20] * 24)))
    sealed = seal_journal(path, tmp_path, RUN, SealReason.IDLE)
    *_, last = (size for size in sizes if size > 1 << 20)
    steps = [0, *(size for size in sizes if size > 1 << 20)]
    assert last == sealed.stat().st_size
    assert all(after - before < 40 << 20 for before, after in itertools.pairwise(steps))


MEASURE = """
import resource, sys
from pathlib import Path
from spanbook_runfile.merge import seal_journal
from spanbook_runfile.names import SealReason
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seal_journal(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], SealReason.IDLE)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(used // 1024 if sys.platform == "linux" else used >> 20)
"""


@pytest.mark.slow
def test_memory(tmp_path: Path) -> None:
    """Sealing 200 MB of artifacts takes no more memory than a few of their chunks."""
    path = tmp_path / "big.journal"
    owner = encode.resource({})
    with path.open("wb") as stream:
        stream.write(MAGIC)
        for number in range(200):
            body = random.Random(number).randbytes(1 << 20)
            record = encode.log_record(
                run_id=RUN, span_id="0" * 16, record_id=f"r-{number}", time=number, body=body
            )
            request = encode.logs_request(owner, [record]).SerializeToString()
            stream.write(frame(Signal.LOGS, request))
    command = [sys.executable, "-c", MEASURE, path, tmp_path, RUN]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(out) < 60
