"""Runs in quantity: wide, deep, and ten thousand small ones."""

import random
from collections.abc import Iterator

from spanbook_runfile import names
from spanbook_runfile.names import Result
from spanbook_runfile.samples.builder import SECOND, START, SampleRun, SampleTask
from spanbook_runfile.samples.golden import ON_GITHUB, PULL_REQUEST

HOUR = 3600 * SECOND


def wide(tasks: int = 60, name: str = "") -> SampleRun:
    """A run of ``tasks`` tasks in layers of up to twelve, each after up to three of the last layer.

    Takes about 0.2 ms a task, so that a run of 100,000 tasks can be had too.
    """
    rng = random.Random(tasks)  # noqa: S311 - a seeded sample, no secret
    run = SampleRun(name or f"wide-{tasks}", pipeline="wide", start=START - 24 * HOUR)
    above: list[SampleTask] = []
    layer: list[SampleTask] = []
    for number in range(tasks):
        after = rng.sample(above, min(len(above), 3))
        task = run.task(f"step_{number % 7}", after=after)
        begin = max((t.last for t in after), default=0.0) + rng.random() / 10
        attempt = task.attempt(begin)
        attempt.parameters(begin + 0.1, shard=number)
        attempt.metric(begin + 0.1, "rows", rng.randrange(1000))
        attempt.end(begin + 0.2 + rng.random())
        layer.append(task.end())
        if len(layer) == 12:
            above, layer = layer, []
    return run.finish()


def small(number: int) -> SampleRun:
    """Run ``number`` of a history: hourly, two to four tasks, one in twelve failed."""
    rng = random.Random(number)  # noqa: S311
    resource: dict[str, object] = dict(PULL_REQUEST if number % 5 == 0 else ON_GITHUB)
    resource[names.REF_REVISION] = f"{rng.getrandbits(160):040x}"
    resource[names.COMMIT_TITLE] = f"Change number {number}"
    run = SampleRun(
        f"small-{number}",
        pipeline=("daily-forecast", "mnist-digits")[number % 3 == 0],
        start=START - (20_000 - number) * HOUR,
        resource=resource,
    )
    fails = number % 12 == 7
    data = run.task("fetch")
    attempt = data.attempt(0.0)
    attempt.metric(0.2, "rows", 1000 + number)
    attempt.line(0.3, f"fetched {1000 + number} rows")
    attempt.end(1.0 + rng.random())
    data.end()
    for size in (100, 200)[: 1 + number % 2]:
        train = run.task("train", after=[data])
        attempt = train.attempt(data.last)
        at = data.last + 0.2
        attempt.parameters(at, size=size, lr=0.01)
        if fails:
            message = f"no convergence at size {size}"
            attempt.exception(at, "ValueError", message, f"Traceback …\nValueError: {message}")
            attempt.end(at + 1, Result.FAILURE, error_type="ValueError", message=message)
            train.end(Result.FAILURE, error_type="ValueError", message=message)
            continue
        for step in range(3):
            attempt.metric(at, "loss", (1 + rng.random() / 5) / (step + 1), step)
        attempt.metric(at, "accuracy", 0.8 + number / 100_000 + rng.random() / 50)
        attempt.end(at + 1 + 2 * rng.random())
        train.end()
    if fails:
        return run.finish(Result.FAILURE, error_type="TaskFailed", message="training failed")
    return run.finish()


def many(count: int) -> Iterator[SampleRun]:
    """A history of ``count`` small runs, about 2 ms each."""
    return map(small, range(count))
