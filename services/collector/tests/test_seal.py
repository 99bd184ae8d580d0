"""When a run is sealed, what is in the file, and what becomes of data that comes later."""

import hashlib
import json
import os
import stat

import pytest
from spanbook_runfile.journal import read_frames


def _spans(sealed) -> list[str]:
    return [
        s["spanId"] for g in sealed["resourceSpans"] for sc in g["scopeSpans"] for s in sc["spans"]
    ]


def test_a_run_is_sealed_once_all_that_it_declared_is_there(collector, otlp, until) -> None:
    """The run span may come first: the seal waits for the declared counts, then is read-only."""
    running = collector("--grace=60")
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id, 2, declared=(3, 2, 2)))
    running.export("logs", otlp.logs(run_id, ["a", "b"]))
    running.export("metrics", otlp.metrics({"cicd.pipeline.run.id": run_id}, [1, 2]))
    assert not running.run_file(run_id).exists()
    running.export("traces", otlp.spans(run_id, 1))
    note = running.sealed(run_id)["spanbook"]
    assert (note["reason"], note["complete"]) == ("complete", True)
    assert note["received"] == {"spans": 3, "logRecords": 2, "metricPoints": 2}
    assert stat.S_IMODE(running.run_file(run_id).stat().st_mode) == 0o444
    until(lambda: not list(running.outputs.glob("journals/*.journal")), 5)


def test_duplicates_do_not_complete_a_run(collector, otlp) -> None:
    """Counts are of distinct items: a batch sent twice is no substitute for one that is missing."""
    running = collector("--grace=1.5")
    run_id, ids = otlp.id(), [otlp.id(8) for _ in range(3)]
    running.export("traces", otlp.spans(run_id, ids=ids[:2]))
    running.export("traces", otlp.spans(run_id, ids=ids[:2], other="batching"))
    running.export("traces", otlp.spans(run_id, ids=ids[2:], declared=(4, 0, 0)))
    sealed = running.sealed(run_id)
    assert sealed["spanbook"]["reason"] == "grace"
    assert sealed["spanbook"]["complete"] is False
    assert sorted(_spans(sealed)) == sorted(ids)


def test_a_dead_runners_run_is_sealed_after_the_idle_limit(collector, otlp) -> None:
    """Without a run span the idle limit seals what there is, counted from the last data."""
    running = collector("--idle=1")
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id, 2))
    sealed = running.sealed(run_id)
    assert sealed["spanbook"]["reason"] == "idle"
    assert len(_spans(sealed)) == 2


def test_what_comes_after_the_seal_is_kept_beside_it(collector, otlp, until) -> None:
    """Late data leaves the sealed file alone, lies in late/ over a restart, and is told of."""
    running = collector()
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id, 1, declared=(1, 0, 0)))
    running.sealed(run_id)
    before = running.run_file(run_id).read_bytes()
    late = otlp.spans(run_id, 1)
    running.export("traces", late)
    assert running.run_file(run_id).read_bytes() == before
    (told,) = running.health()["late"]
    assert told["run"] == run_id
    with (running.outputs / "late" / f"{run_id}.journal").open("rb") as stream:
        assert [payload for _, payload, _ in read_frames(stream)] == [late]
    assert running.stop() == 0
    assert running.start().health()["late"] == [told]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_retry_of_sealed_data_is_not_late(collector, otlp, restarted) -> None:
    """The retry of a lost acknowledgement is acknowledged, and neither late nor doubled."""
    running = collector()
    run_id = otlp.id()
    last = otlp.spans(run_id, 1, declared=(1, 0, 0))
    running.export("traces", last)
    running.sealed(run_id)
    if restarted:
        running.kill()
        running.start()
    running.export("traces", last)
    assert running.health()["late"] == []
    assert not list(running.outputs.glob("late/*.journal"))


def test_the_file_is_deterministic(collector, otlp) -> None:
    """The same data in the same order is the same file, but for the time of the seal."""
    run_id = otlp.id()
    parts = [otlp.spans(run_id, 5), otlp.spans(run_id, 1, declared=(6, 3, 0))]
    records = otlp.logs(run_id, ["x", "y", "z"])
    bodies = []
    for _ in range(2):
        running = collector()
        running.export("logs", records)
        for part in parts:
            running.export("traces", part)
        running.sealed(run_id)
        bodies.append(running.run_file(run_id).read_bytes().partition(b',"spanbook":')[0])
        note = running.sealed(run_id)["spanbook"]
        assert note["digest"] == "sha256:" + hashlib.sha256(bodies[-1]).hexdigest()
    assert bodies[0] == bodies[1]


def test_several_runs_in_one_request(collector, otlp) -> None:
    """A request of several traces is told apart; each run file has the resource, too."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    running = collector()
    runs = [otlp.id() for _ in range(3)]
    request = ExportTraceServiceRequest()
    for run_id in runs:
        part = ExportTraceServiceRequest.FromString(otlp.spans(run_id, 4, declared=(4, 0, 0)))
        if not request.resource_spans:
            request.MergeFrom(part)
        else:
            spans = part.resource_spans[0].scope_spans[0].spans
            request.resource_spans[0].scope_spans[0].spans.extend(spans)
    running.export("traces", request.SerializeToString())
    for run_id in runs:
        sealed = running.sealed(run_id)
        assert len(_spans(sealed)) == 4
        assert sealed["resourceSpans"][0]["resource"]["attributes"][0]["key"] == "service.name"


def test_a_service_instance_begins_a_new_run_after_each_seal(collector, otlp, until) -> None:
    """Metrics of an app that goes on after a seal are never late: they begin another run."""
    running = collector("--idle=0.5")
    resource = {"service.name": "shop", "service.instance.id": "7"}
    for number in range(2):
        running.export("metrics", otlp.metrics(resource, [number]))
        until(lambda: len(list(running.outputs.glob("runs/*.json"))) == number + 1, 20)  # noqa: B023
    assert running.health()["late"] == []


def test_a_service_instances_full_run_gives_way_to_the_next(collector, otlp, until) -> None:
    """At the limit of bytes the run is sealed, and the client, coming again, begins another."""
    running = collector("--max-run-bytes=50K")
    resource = {"service.name": "shop", "pad": "x" * 30_000}
    running.export("metrics", otlp.metrics(resource, [1]))
    assert running.post("metrics", otlp.metrics(resource, [2])).status == 503
    until(lambda: list(running.outputs.glob("runs/*.json")), 20)
    running.export("metrics", otlp.metrics(resource, [2]))
    assert running.health()["late"] == []


def test_a_run_file_from_elsewhere_is_not_overwritten(collector, otlp, until) -> None:
    """Where a file of that run exists with other content, the journal is kept as late data."""
    running = collector()
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id, 1))
    running.run_file(run_id).write_text('{"resourceSpans":[]}\n')
    running.export("traces", otlp.spans(run_id, 1, declared=(2, 0, 0)))
    until(lambda: running.health()["late"], 20)
    assert running.run_file(run_id).read_text() == '{"resourceSpans":[]}\n'
    assert (running.outputs / "late" / f"{run_id}.journal").stat().st_size > 100


def test_a_crash_between_seal_and_clean_up_leaves_no_late_data(collector, otlp, until) -> None:
    """A journal that its run file holds already is removed at the next start."""
    from spanbook_runfile.journal import MAGIC, Signal, frame

    running = collector()
    run_id = otlp.id()
    whole = otlp.spans(run_id, 2, declared=(2, 0, 0))
    running.export("traces", whole)
    running.sealed(run_id)
    running.kill()
    journal = running.outputs / "journals" / f"{run_id}.journal"
    journal.write_bytes(MAGIC + frame(Signal.TRACES, whole))
    before = running.run_file(run_id).read_bytes()
    running.start()
    until(lambda: not journal.exists(), 20)
    assert running.health()["late"] == []
    assert not list(running.outputs.glob("late/*.journal"))
    assert running.run_file(run_id).read_bytes() == before


def test_the_seal_does_not_stall_ingest(collector, otlp, until) -> None:
    """While a big run is sealed, other clients are answered, and memory stays bounded."""
    running = collector()
    run_id = otlp.id()
    chunk = os.urandom(1 << 20)
    for number in range(60):
        running.export("logs", otlp.logs(run_id, [str(number)], body=chunk))
    running.export("traces", otlp.spans(run_id, 1, declared=(1, 60, 0)))
    answered = 0  # in the course of the seal
    while not running.run_file(run_id).exists():
        running.export("traces", otlp.spans(otlp.id(), 1))
        answered += not running.run_file(run_id).exists()
    assert answered >= 3
    assert running.memory() < 400 << 20
    assert json.loads(running.run_file(run_id).read_bytes())["spanbook"]["complete"] is True
