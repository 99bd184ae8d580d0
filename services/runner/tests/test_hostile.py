"""Values, parameters and policies that are against us."""

import pytest
from spanbook_runfile.names import Result

HOSTILE = """
import os, time
from spanbook import pipeline, task, when

class Unpickles:
    \"\"\"To something else than it was: whatever it is told to call.\"\"\"

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]

class Unshowable:
    def __repr__(self):
        raise ValueError("no")

class Unsayable(Exception):
    def __str__(self):
        raise ValueError("no")

def broken(*_):
    raise RuntimeError("broken")

@task
def make(what: str):
    calls = {"hangs": (time.sleep, 600), "raises": (int, "x"), "exits": (os._exit, 7)}
    return [Unpickles(*calls[what])]

@task
def use(value, what: str) -> None:
    pass

@task(name="guarded")
def guarded() -> None:
    pass

@task(name="mapped")
def mapped(value) -> None:
    pass

@task
def shown(value) -> None:
    pass

@task(retries=1, backoff=broken)
def again() -> None:
    raise Unsayable

@task
def says_much() -> None:
    raise ValueError("begin " + "x" * 10_000_000 + " end")

@task(timeout=0.5, retries=1, backoff=-1, retry_if=broken)
def too_long() -> None:
    time.sleep(600)

@pipeline
def hostile():
    for what in ("hangs", "raises", "exits"):
        use(make(what), what)
    hangs = make("hangs")
    with when(hangs):
        guarded()
    mapped.map(hangs)
    shown(Unshowable())
    shown("\\ud800 \\x1b[31m")
    again()
    too_long()
    says_much()
"""


@pytest.fixture(scope="module")
def hostile(module_runner):
    """A run in which everything that a task hands over, and all its policies, are hostile."""
    return module_runner.run(HOSTILE, SPANBOOK_BEGIN_LIMIT="3")


def test_a_value_that_cannot_be_unpickled(hostile):
    """Its reader fails, is stopped at the limit, or dies, and each is recorded as that."""
    readers = [task.final for task in hostile.recorded.tasks if task.name == "use"]
    assert [reader.error_type for reader in readers] == ["NeverBegan", "ValueError", "WorkerDied"]
    assert "unpickling" in readers[0].error_message


def test_a_value_whose_look_hangs(hostile):
    """A branch on it, or a map over it, fails at the limit instead of waiting for ever."""
    for name in ("guarded", "mapped"):
        task = hostile.task(name)
        assert task.result is Result.FAILURE
        assert "SPANBOOK_BEGIN_LIMIT" in task.error_message


def test_what_cannot_be_shown(hostile):
    """A parameter without a repr, or with a terminal's control codes, is no reason to fail."""
    first, second = [task for task in hostile.recorded.tasks if task.name == "shown"]
    assert first.final.parameters["value"] == "<Unshowable, whose repr raises ValueError>"
    assert second.result is Result.SUCCESS
    assert "\x1b" not in hostile.out
    assert "\\ud800" in hostile.out


def test_a_policy_that_raises(hostile):
    """A broken backoff or predicate costs the task nothing but its pause; the record says so."""
    again, too_long = hostile.task("again"), hostile.task("too_long")
    assert [attempt.result for attempt in again.attempts] == [Result.FAILURE] * 2
    assert "backoff(1) raised RuntimeError" in again.attempts[0].logs[0].text
    assert [attempt.result for attempt in too_long.attempts] == [Result.TIMEOUT] * 2


def test_an_error_of_ten_megabytes(hostile):
    """It is the task's failure, recorded by its beginning and its end."""
    attempt = hostile.task("says_much").final
    assert attempt.result is Result.FAILURE
    (error,) = attempt.exceptions
    assert error.type == "ValueError"
    assert attempt.error_message.startswith("begin xxx")
    for text in (error.message, error.stacktrace):
        assert "begin xxx" in text
        assert text.rstrip().endswith("xxx end")
        assert "characters are left out" in text
        assert len(text) < 200_000
