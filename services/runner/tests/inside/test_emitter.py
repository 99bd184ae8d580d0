"""What an emitter takes is what a run file's reader finds."""

import math
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from spanbook.emitter import BATCH_BYTES, FLUSH_SECONDS, Batch, Emitter
from spanbook.errors import ValueTooLargeError
from spanbook_runfile import names
from spanbook_runfile.names import Event

RUN_ID, SPAN_ID = "ab" * 16, "cd" * 8


def test_short_attempt_sends_nothing(recorder: Any) -> None:
    """An attempt that ends before the first flush hands everything over at the end."""
    recorder.emitter.event(Event.PARAMETER, 3, {names.KEY: "n"})
    recorder.emitter.line("stdout", "hello")
    assert recorder.sent == []
    attempt = recorder.attempt()
    assert attempt.parameters == {"n": 3}
    assert [line.text for line in attempt.logs] == ["hello"]


def test_nothing_recorded_is_an_empty_batch(recorder: Any) -> None:
    """An attempt that records nothing costs no bytes."""
    assert recorder.emitter.close() == Batch()
    assert not Batch()


def test_flush_in_time(recorder: Any) -> None:
    """What waits is sent within the flush interval, and then nothing more."""
    recorder.emitter.line("stdout", "hello")
    time.sleep(FLUSH_SECONDS + 0.3)
    assert [b.n_records for b in recorder.sent] == [1]
    time.sleep(0.4)
    assert len(recorder.sent) == 1


def test_order(recorder: Any) -> None:
    """Records of many threads keep each thread's order, and none is lost or doubled."""

    def write(name: int) -> None:
        for number in range(500):
            recorder.emitter.line("stdout", f"{name} {number}")
            if number % 100 == 0:
                recorder.emitter.flush()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line.text for line in recorder.attempt().logs]
    assert len(lines) == len(set(lines)) == 2000
    for name in range(4):
        assert [x for x in lines if x.startswith(f"{name} ")] == [f"{name} {n}" for n in range(500)]


def test_metric_points_become_batches(recorder: Any, as_attempt: Callable[..., Any]) -> None:
    """Points of one key that wait together are one record; a single point is one of its own."""
    for step in range(5):
        recorder.emitter.metric("loss", 1 / (step + 1), step)
    recorder.emitter.metric("n", 7)
    batch = recorder.emitter.close()
    assert batch.n_records == 2
    attempt = as_attempt([batch])
    assert attempt.metrics["loss"].values == (1, 1 / 2, 1 / 3, 1 / 4, 1 / 5)
    assert attempt.metrics["loss"].steps == (0, 1, 2, 3, 4)
    assert len(set(attempt.metrics["loss"].times)) == 5
    assert attempt.metrics["n"].values == (7,)
    assert attempt.metrics["n"].steps == (None,)


def test_special_numbers(recorder: Any) -> None:
    """NaN, infinities and integers of any size are recorded, alone and in batches."""
    for value in (math.nan, math.inf, -math.inf, 2**53 + 1, 10**30):
        recorder.emitter.metric("m", value)
    recorder.emitter.metric("alone", math.nan)
    attempt = recorder.attempt()
    first, *rest = attempt.metrics["m"].values
    assert math.isnan(first)
    assert rest == [math.inf, -math.inf, float(2**53 + 1), 1e30]
    assert math.isnan(attempt.metrics["alone"].last)


@pytest.mark.slow
def test_a_million_points() -> None:
    """A million points go through within bounded memory, none lost, in batches of bounded size."""
    sizes: list[int] = []
    kept: list[Batch] = []

    def send(batch: Batch) -> None:
        sizes.append(len(batch.log_records))
        kept.append(batch)
        if len(kept) > 4:
            del kept[:4]

    emitter = Emitter(RUN_ID, SPAN_ID, send)
    tracemalloc.start()
    for step in range(50_000):
        emitter.metric("loss", 0.5, step)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began = time.process_time()
    for step in range(950_000):
        emitter.metric("loss", 0.5, step)
    last = emitter.close()
    took = time.process_time() - began
    n_points = sum(sizes) + len(last.log_records)
    assert n_points > 1_000_000 * 9  # at least the doubles themselves
    assert max(sizes) < BATCH_BYTES
    assert peak < 20 << 20
    assert took < 15  # 3 s on a quiet machine


def test_artifact_in_chunks(recorder: Any, tmp_path: Path) -> None:
    """A file goes over in chunks, from memory and from disk, and comes out whole."""
    data = bytes(range(256)) * 10_000  # 2.4 MiB
    file = tmp_path / "f.bin"
    file.write_bytes(data)
    recorder.emitter.artifact("memory.bin", data, media_type="application/octet-stream")
    recorder.emitter.artifact("disk.bin", file=file, media_type="application/octet-stream")
    recorder.emitter.artifact("empty.bin", b"", media_type="application/octet-stream")
    artifacts = {a.path: a for a in recorder.attempt().artifacts}
    assert all(a.intact for a in artifacts.values())
    assert artifacts["memory.bin"].data == artifacts["disk.bin"].data == data
    assert artifacts["empty.bin"].size == 0


def test_batches_fit_a_request(recorder: Any) -> None:
    """No batch is over what one request may hold, whatever is logged."""
    for number in range(6):
        recorder.emitter.artifact(f"{number}", b"x" * (1 << 20), media_type="text/plain")
    recorder.emitter.line("stdout", "y" * 16_000)
    batches = [*recorder.sent, recorder.emitter.close()]
    assert max(len(b.log_records) for b in batches) < 3 << 20


def test_last_version_counts(recorder: Any) -> None:
    """A file logged twice is the one logged last."""
    recorder.emitter.artifact("a", b"one", media_type="text/plain")
    recorder.emitter.artifact("a", b"two", media_type="text/plain")
    (artifact,) = recorder.attempt().artifacts
    assert (artifact.data, artifact.version) == (b"two", 2)


def test_huge_value_is_refused(recorder: Any) -> None:
    """A value too large for a record is refused, and the error says what to do."""
    with pytest.raises(ValueTooLargeError, match=r"'v' has .* log\.json"):
        recorder.emitter.event(Event.VALUE, "x" * (2 << 20), {names.KEY: "v"})


def test_usage(recorder: Any) -> None:
    """CPU and memory are metric points of the attempt."""
    recorder.emitter.usage(1.5, 1000, at=10)
    recorder.emitter.usage(None, 2000, at=20)
    first, second = recorder.attempt().usage
    assert (first.time, first.cpu, first.memory) == (10, 1.5, 1000)
    assert (second.time, second.cpu, second.memory) == (20, None, 2000)


def test_joined_bytes_are_a_batch(recorder: Any) -> None:
    """The bytes of two batches joined are the bytes of one: what passes them on need not parse."""
    recorder.emitter.line("stdout", "a")
    recorder.emitter.flush()
    recorder.emitter.line("stdout", "b")
    first, last = recorder.sent[0], recorder.emitter.close()
    both = ScopeLogs.FromString(first.log_records + last.log_records)
    assert [r.body.string_value for r in both.log_records] == ["a", "b"]


def test_slow_receiver_holds_back() -> None:
    """Memory is bounded by making the task wait, where the receiver is slower than it."""
    gate = threading.Event()
    emitter = Emitter(RUN_ID, SPAN_ID, lambda _: gate.wait(5) and None)
    done = threading.Event()

    def flood() -> None:
        for _ in range(8):
            emitter.artifact("a", b"x" * (1 << 20), media_type="text/plain")
        done.set()

    threading.Thread(target=flood).start()
    assert not done.wait(0.5)
    gate.set()
    assert done.wait(5)
    emitter.close()


def test_masked_when_sent(monkeypatch: pytest.MonkeyPatch, recorder: Any) -> None:
    """A secret that comes into the environment after the emitter is masked nevertheless."""
    monkeypatch.setenv("SOME_TOKEN", "fresh-secret")
    recorder.emitter.line("stdout", "it is fresh-secret")
    recorder.emitter.event(Event.VALUE, {"k": ["fresh-secret"]}, {names.KEY: "v"})
    attempt = recorder.attempt()
    assert attempt.logs[0].text == "it is ***"
    assert attempt.values == {"v": {"k": ["***"]}}


def test_at_once(as_attempt: Callable[..., Any]) -> None:
    """What is recorded is sent before the call returns, with what waited; a flood goes in batches."""
    sent: list[Batch] = []
    emitter = Emitter(RUN_ID, SPAN_ID, sent.append, at_once=True)
    emitter.event(Event.PARAMETER, 3, {names.KEY: "n"}, at_once=False)
    assert sent == []
    emitter.line("stdout", "hello")
    assert [b.n_records for b in sent] == [2]
    emitter.metric("loss", 0.5, 0)
    assert [b.n_records for b in sent] == [2, 1]
    for number in range(20_000):
        emitter.line("stdout", str(number))
        emitter.metric("loss", 0.5, number + 1)
    assert len(sent) < 10_000
    attempt = as_attempt([*sent, emitter.close()])
    assert [line.text for line in attempt.logs] == ["hello", *map(str, range(20_000))]
    assert attempt.metrics["loss"].steps == tuple(range(20_001))
    assert attempt.parameters == {"n": 3}


def test_recording_within_a_send(as_attempt: Callable[..., Any]) -> None:
    """A signal handler or destructor that prints in the middle of a send is recorded, once."""
    sent: list[Batch] = []

    def send(batch: Batch) -> None:
        if not sent:
            emitter.line("stdout", "within")
        sent.append(batch)

    emitter = Emitter(RUN_ID, SPAN_ID, send, at_once=True)
    emitter.line("stdout", "outer")
    assert [line.text for line in as_attempt(sent).logs] == ["outer", "within"]
    emitter.close()
