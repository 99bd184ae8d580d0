"""No-op tasks on spanbook: a fan-out, or a chain."""

from spanbook import pipeline, task


@task
def begin() -> int:
    return 0


@task
def noop(value: int) -> int:  # noqa: ARG001
    return 0


@pipeline
def noops(fan_out: int = 0, chain: int = 0):
    value = begin()
    for _ in range(fan_out):
        noop(value)
    for _ in range(chain):
        value = noop(value)
