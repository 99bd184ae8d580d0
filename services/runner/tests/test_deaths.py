"""What an attempt recorded is there, whatever ended it, to the last word."""

import re

import pytest
from spanbook_runfile.names import Result

PIPELINE = """
import ctypes, os, signal, sys, time
from spanbook import log, notebook_task, pipeline, task

notebook = notebook_task("stops_short.py", timeout=4)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@task
def many_lines() -> None:
    for number in range(1000):
        print("line", number)
    die()

@task
def everything() -> None:
    import logging
    log.metric("loss", 0.25, step=3)
    log.param("extra", "yes")
    log.tag("kind", "doomed")
    log.file("model.bin", bytes(1 << 20))
    logging.getLogger("mine").warning("a warning")
    ctypes.string_at(0)  # segmentation fault

@task
def silent(number: int, words: list[str]) -> None:
    os._exit(3)

@task
def open_line() -> None:
    print("before")
    print("\\r 10 %", end="")
    print("\\r 20 %", end="")
    time.sleep(6)
    die()

@task
def noisy() -> None:
    for number in range(50_000):
        print("number", number)
    print("this is the end")
    time.sleep(12)
    die()

@task(timeout=3)
def open_line_until_the_limit() -> None:
    print("before")
    print("20 %", end="")
    time.sleep(600)

@task(timeout=3)
def noisy_until_the_limit() -> None:
    number = 0
    while True:
        number += 1
        print("number", number, "x" * 1000)

@task(timeout=2)
def deaf() -> None:
    print("about to be deaf")
    log.metric("loss", 0.25)
    import re
    re.match(r"(a+)+$", "a" * 64 + "b")

@pipeline
def deaths():
    many_lines()
    everything()
    silent(7, ["a", "b"])
    open_line()
    noisy()
    open_line_until_the_limit()
    noisy_until_the_limit()
    deaf()
    notebook()
"""

NOTEBOOK = """
# %%
import time
print("before")
print("20 %", end="")
time.sleep(600)
"""


@pytest.fixture(scope="module")
def done(module_runner):
    """One run of all deaths."""
    module_runner.write(NOTEBOOK, "stops_short.py")
    return module_runner.run(PIPELINE, SPANBOOK_CPUS="4", SPANBOOK_MAX_OUTPUT_BYTES="100000")


def texts(done, title):
    """What a task's attempt printed."""
    return [line.text for line in done.task(title).final.logs]


def test_every_line(done):
    """A thousand lines and then ``kill -9``: the last one is there."""
    assert texts(done, "many_lines") == [f"line {number}" for number in range(1000)]


def test_everything_that_can_be_recorded(done):
    """Metrics, parameters, tags, files and ``logging`` records survive a crash of native code."""
    attempt = done.task("everything").final
    assert attempt.result is Result.ERROR
    assert attempt.metrics["loss"].steps == (3,)
    assert attempt.parameters == {"extra": "yes"}
    assert attempt.tags == {"kind": "doomed"}
    (model,) = attempt.artifacts
    assert model.intact
    assert attempt.logs[0].text == "a warning"


def test_parameters_of_a_silent_death(done):
    """A process that exits at once has its arguments recorded."""
    attempt = done.task("silent").final
    assert attempt.result is Result.ERROR
    assert attempt.parameters == {"number": 7, "words": ["a", "b"]}


@pytest.mark.parametrize("title", ["open_line", "open_line_until_the_limit", "stops_short"])
def test_a_line_without_its_end(done, title):
    """A progress bar is recorded as it stood."""
    assert [text.strip() for text in texts(done, title)] == ["before", "20 %"]


def test_the_end_of_much_output(done):
    """Of output that is cut the end is kept, though the process was killed."""
    found = texts(done, "noisy")
    assert found[-1] == "this is the end"
    assert done.task("noisy").final.dropped_output_bytes > 0


def test_the_end_of_much_output_at_the_limit(done):
    """What was printed last before the time was over is there."""
    attempt = done.task("noisy_until_the_limit").final
    assert attempt.result is Result.TIMEOUT
    found = [re.fullmatch(r"number (\d+) x{1000}", line.text) for line in attempt.logs]
    numbers = [int(match[1]) for match in found if match]  # the line at the cut is in pieces
    assert numbers == sorted(numbers)
    assert len(found) - len(numbers) <= 2
    assert attempt.dropped_output_bytes > 0
    assert numbers[-1] > len(numbers)
    assert attempt.exceptions[0].type == "Stopped"


def test_what_came_before_native_code_is_there(done):
    """A line and a point that were recorded just before no thread ran any more."""
    attempt = done.task("deaf").final
    assert attempt.result is Result.TIMEOUT
    assert texts(done, "deaf") == ["about to be deaf"]
    assert attempt.metrics["loss"].last == 0.25


def test_nothing_is_doubled(done):
    """The counts that the run declares are those of what is there."""
    assert done.recorded.problems == ()
