"""Reading: any bytes become a run or a RunFileError, and nothing takes more than linear time."""

import contextlib
import math
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spanbook_runfile import (
    NotARunFileError,
    Run,
    RunFileError,
    TooLargeError,
    names,
    parse_run,
    read_run,
    samples,
)
from spanbook_runfile.names import Event, Result
from spanbook_runfile.samples import golden, hostile
from spanbook_runfile.values import value_of

KEYS = [
    *("resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value", "links"),
    *("resourceLogs", "scopeLogs", "logRecords", "resourceMetrics", "scopeMetrics", "metrics"),
    *("gauge", "dataPoints", "timeUnixNano", "asDouble", "name", "spanId", "traceId", "eventName"),
    *("body", "stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue"),
    *("bytesValue", "values", "status", "code", "startTimeUnixNano", "endTimeUnixNano", "spanbook"),
]
ATTRIBUTES = [v for k, v in vars(names).items() if k.isupper() and isinstance(v, str)]
EVENTS = [str(event) for event in Event]
SPAN_IDS = ["0123456789abcdef", "fedcba9876543210", "00000000000000aa", "x", ""]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "-Infinity", "9" * 30, "1e400", "-1", *SPAN_IDS, *EVENTS])
    | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=10,
)
attribute = st.fixed_dictionaries(
    {
        "key": st.sampled_from(ATTRIBUTES) | anything,
        "value": st.dictionaries(st.sampled_from(KEYS), scalars | anything, max_size=2),
    }
)
span_like = st.fixed_dictionaries(
    {},
    optional={
        "spanId": st.sampled_from(SPAN_IDS) | anything,
        "parentSpanId": st.sampled_from(SPAN_IDS) | anything,
        "name": anything,
        "startTimeUnixNano": anything,
        "endTimeUnixNano": anything,
        "status": anything,
        "attributes": st.lists(attribute | scalars, max_size=4),
        "links": st.lists(
            st.fixed_dictionaries({"spanId": st.sampled_from(SPAN_IDS)}) | scalars, max_size=3
        ),
        "eventName": st.sampled_from(EVENTS) | anything,
        "body": anything,
        "severityText": anything,
    },
)
metric_like = st.fixed_dictionaries(
    {
        "name": st.sampled_from([names.CPU_UTILIZATION, names.MEMORY_USAGE]) | anything,
        "gauge": st.fixed_dictionaries({"dataPoints": st.lists(span_like, max_size=2)}) | anything,
    }
)


def wrapped(section: str, group: str, items: str, content: object) -> dict[str, object]:
    """A section of a run file, with these items in it."""
    return {section: [{"resource": {"attributes": []}, group: [{items: content}]}]}


def check(run: Run) -> None:
    """What every reader of a run may rely on."""
    position: dict[str, int] = {}
    waiting = {task.id: set(task.upstream) for task in run.tasks}
    assert all(upstream <= set(waiting) for upstream in waiting.values())
    while waiting:
        free = [task for task, upstream in waiting.items() if upstream <= set(position)]
        assert free, "a cycle"
        for task in free:
            position[task] = len(position)
            del waiting[task]
    assert len(run.problems) <= 50
    assert isinstance(run.state, str)
    for task in run.tasks:
        assert isinstance(task.title, str)
        assert task.state
        for attempt in task.attempts:
            for artifact in attempt.artifacts:
                assert artifact.intact in {True, False}
            for metric in attempt.metrics.values():
                assert len(metric.values) == len(metric.steps) == len(metric.times)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(span_like, max_size=4),
    st.lists(span_like | anything, max_size=4),
    st.lists(metric_like, max_size=2),
)
def test_likely_json(spans: list[object], records: list[object], metrics: list[object]) -> None:
    """Whatever stands where spans, log records and metrics do, a run comes of it."""
    whole = {
        **wrapped("resourceSpans", "scopeSpans", "spans", spans),
        **wrapped("resourceLogs", "scopeLogs", "logRecords", records),
        **wrapped("resourceMetrics", "scopeMetrics", "metrics", metrics),
    }
    check(parse_run(orjson.dumps(whole)))


@settings(max_examples=300, deadline=None)
@given(anything)
def test_any_json(value: object) -> None:
    """Any JSON gives a run or a RunFileError."""
    content = orjson.dumps(value)
    try:
        check(parse_run(content))
    except RunFileError:
        assert not (isinstance(value, dict) and isinstance(value.get("resourceSpans"), list))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file(data: st.DataObject) -> None:
    """A run file with any bytes cut out or changed gives a run or a RunFileError."""
    content = bytearray(samples.sealed("retried"))
    begin = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(begin, min(len(content), begin + 40)))
    content[begin:end] = data.draw(st.binary(max_size=8))
    with contextlib.suppress(RunFileError):
        check(parse_run(bytes(content)))


@pytest.mark.parametrize("name", samples.SEALED)
def test_golden_runs(name: str) -> None:
    """Each golden run is read back under its id, whole, and only the hostile one has problems."""
    run = parse_run(samples.sealed(name))
    check(run)
    assert run.id == samples.SEALED[name]().id
    assert bool(run.problems) == (name == "hostile")
    assert run.seal is not None
    assert run.seal.complete == (name not in samples.WITHOUT_END)


def test_the_demo_run() -> None:
    """The demo's DAG, parameters, metrics with steps, artifacts and usage are read as logged."""
    run = parse_run(samples.sealed("ok"))
    titles = {task.id: task.title for task in run.tasks}
    edges = {(titles[u], task.title) for task in run.tasks for u in task.upstream}
    sizes = (400, 500, 600)
    train, score = "train_model nr_train_images={}", "benchmark-model nr_train_images={}"
    assert edges == {
        ("ingest", "eda"),
        ("ingest", "split_train_test"),
        *(("split_train_test", train.format(size)) for size in sizes),
        *((train.format(size), score.format(size)) for size in sizes),
        *((score.format(size), "summary") for size in sizes),
    }
    final = next(task for task in run.tasks if task.title == train.format(500)).final
    assert final is not None
    assert final.parameters == {"nr_train_images": 500, "C": 0.001, "kernel": "linear"}
    assert final.metrics["loss"].steps == tuple(range(20))
    assert list(final.metrics["loss"].times) == sorted(final.metrics["loss"].times)
    assert [a.path for a in final.artifacts] == ["figures/weights.png", "model.onnx"]
    assert all(artifact.intact for artifact in final.artifacts)
    assert final.artifacts[1].meta["inputs"] == {"X": ["batch", 64]}
    assert len(final.usage) > 5
    assert (final.logs[0].stream, final.logs[0].text) == (
        "stdout",
        "trained on 500 images",
    )
    assert run.trigger == "schedule"
    assert run.tags == {"purpose": "nightly"}


def test_states() -> None:
    """The state of a run says how it went, and of a skipped task which task was at fault."""
    states = {name: parse_run(samples.sealed(name)).state for name in samples.SEALED}
    assert states["ok"] == states["retried"] == states["empty"] == "success"
    assert states["failed"] == states["timed-out"] == "failure"
    assert states["killed"] == "error"
    assert states["cancelled"] == "cancellation"
    assert states["interrupted"] == "interrupted"
    assert states["foreign"] == "trace"
    failed = parse_run(samples.sealed("failed"))
    skipped = [task for task in failed.tasks if task.result is Result.SKIP]
    assert len(skipped) == 5
    assert {failed.by_id[task.cause or ""].name for task in skipped} == {"split_train_test"}


def test_tries() -> None:
    """Each try is read, in order, with its own error; the last one counts."""
    (task,) = parse_run(samples.sealed("retried")).tasks
    assert [attempt.result for attempt in task.attempts] == ["failure", "timeout", "success"]
    assert task.result == "success"
    assert task.final is task.attempts[2]
    assert task.attempts[0].exceptions[0].type == "ConnectionRefusedError"


def test_hostile() -> None:
    """Script stays text, a lie about a size is not believed, and odd numbers are what they are."""
    run = parse_run(samples.sealed("hostile"))
    first = next(task for task in run.tasks if task.name == hostile.SCRIPT)
    odd = run.by_id[first.id].attempts[0].metrics["odd"].values
    assert math.isnan(odd[0])
    assert odd[1:3] == (math.inf, -math.inf)
    paths = next(t for t in run.tasks if t.name.startswith("\"'>")).attempts[0].artifacts
    liar = next(a for a in paths if a.path == "liar.bin")
    assert liar.size == 2 << 30
    assert not liar.intact


def test_tampered() -> None:
    """A file that was edited is read as far as it makes sense, and says what did not."""
    run = parse_run(hostile.tampered())
    assert run.state == "success"
    assert len(run.tasks) == 10
    assert any("two spans of one id" in problem for problem in run.problems)


@pytest.mark.parametrize("content", [c for n, c in hostile.broken().items() if n.endswith("json")])
def test_no_run_file(content: bytes) -> None:
    """What is no run file is refused by name, and says why."""
    with pytest.raises(NotARunFileError, match=r"^some\.json is "):
        parse_run(content, name="some.json")


def test_a_size_limit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A file over the limit is not read at all."""
    path = tmp_path / "run.json"
    path.write_bytes(samples.sealed("empty"))
    with pytest.raises(TooLargeError, match="over the limit of 100"):
        read_run(path, max_bytes=100)


def test_deep_values() -> None:
    """A value nested a thousand deep is cut, not followed."""
    value: dict[str, object] = {"stringValue": "bottom"}
    for _ in range(1000):
        value = {"arrayValue": {"values": [value]}}
    found = value_of(value)
    depth = 0
    while isinstance(found, list):
        found, depth = found[0] if found else None, depth + 1
    assert 60 < depth < 70


def test_cycles_are_cut() -> None:
    """Tasks whose links go in a circle keep all edges but the one that closes it."""
    run = samples.SampleRun("circle")
    tasks = [run.task(f"task {n}") for n in range(4)]
    for n, task in enumerate(tasks):
        task.after = [tasks[n - 1], task]
    for task in tasks:
        task.end(at=1.0)
    parsed = parse_run(run.finish().sealed())
    check(parsed)
    assert sum(len(task.upstream) for task in parsed.tasks) == 3
    assert any("cycle" in problem for problem in parsed.problems)


def test_a_long_chain() -> None:
    """A chain of 5,000 tasks does not exhaust the stack."""
    run = samples.SampleRun("chain")
    last = None
    for number in range(5_000):
        last = run.task(f"t{number}", after=[last] if last else []).end(at=1.0)
    parsed = parse_run(run.finish().sealed())
    assert sum(len(task.upstream) for task in parsed.tasks) == 4_999
    assert not parsed.problems


def test_labels() -> None:
    """Tasks of one name differ in label even where their parameters do not."""
    run = samples.SampleRun("labels")
    for size in (1, 1, 2):
        task = run.task("same")
        attempt = task.attempt(0.0)
        attempt.parameters(0.1, size=size, constant=True)
        attempt.end(1.0)
        task.end()
    run.task("same").end(Result.SKIP)
    labels = [task.label for task in parse_run(run.finish().sealed()).tasks]
    assert labels == ["size=1", "size=1 #2", "size=2", "#4"]


@pytest.mark.slow
def test_many_tasks() -> None:
    """Reading takes time in proportion: 10,000 tasks, 1,400 of a name, take seconds."""
    content = samples.wide(10_000).sealed()
    begin = time.process_time()
    run = parse_run(content)
    assert len(run.tasks) == 10_000
    assert time.process_time() - begin < 40


def test_unended() -> None:
    """A run whose runner died shows what had started, and what waited."""
    run = parse_run(golden.interrupted().sealed(names.SealReason.IDLE))
    assert [task.state for task in run.tasks] == ["success", "running", "waiting"]
    assert run.end is None
