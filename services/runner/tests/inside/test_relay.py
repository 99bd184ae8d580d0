"""The line between a worker and its driver: what was sent is there, whatever ended the worker."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from spanbook.emitter import Batch
from spanbook.relay import Address, Message, Records, Relay

SPAN_ID = "cd" * 8

WORKER = """
import os, signal, sys, time
from spanbook.emitter import Emitter
from spanbook.masking import Masker
from spanbook.relay import Address, Line, Records

line = Line(Address(sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])))
emitter = Emitter("ab" * 16, {span_id!r}, lambda batch: line.send(Records({span_id!r}, batch)),
                  masker=Masker(), at_once=True)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

"""


@pytest.fixture
def got() -> list[Message]:
    """What the relay received."""
    return []


@pytest.fixture
def relay(got: list[Message]) -> Iterator[Relay]:
    """A driver's end."""
    made = Relay("127.0.0.1", got.append)
    yield made
    made.close()


def batches(got: list[Message]) -> list[Batch]:
    """The batches of all messages."""
    return [message.batch for message in got if isinstance(message, Records)]


def run_worker(relay: Relay, code: str) -> int:
    """Run code in a process with an ``emitter`` that sends at once, until its line is closed."""
    address: Address = relay.address
    done = subprocess.run(
        [
            *(sys.executable, "-c", WORKER.format(span_id=SPAN_ID) + textwrap.dedent(code)),
            *(address.host, str(address.port), address.key.hex()),
        ],
        timeout=120,
        check=False,
    )
    relay.wait_closed(SPAN_ID)
    return done.returncode


def test_a_killed_process_loses_nothing(
    relay: Relay, got: list[Message], as_attempt: Callable[..., Any]
) -> None:
    """Lines, points, values and files that were recorded before ``kill -9`` are all there."""
    code = run_worker(
        relay,
        """
        emitter.event("spanbook.parameter", 1, {"spanbook.key": "first"}, at_once=False)
        for number in range(1000):
            emitter.line("stdout", f"line {number}")
        for step in range(50):
            emitter.metric("loss", 1.5, step)
        emitter.artifact("model.bin", bytes(3 << 20), media_type="application/octet-stream")
        emitter.event("spanbook.value", "the last", {"spanbook.key": "word"})
        die()
        """,
    )
    assert code == -signal.SIGKILL
    attempt = as_attempt(batches(got))
    assert attempt.parameters == {"first": 1}
    assert [line.text for line in attempt.logs] == [f"line {n}" for n in range(1000)]
    assert attempt.metrics["loss"].steps == tuple(range(50))
    (model,) = attempt.artifacts
    assert model.intact
    assert model.size == 3 << 20
    assert attempt.values == {"word": "the last"}


def test_a_slow_driver_loses_nothing(as_attempt: Callable[..., Any]) -> None:
    """What a dead worker had sent is read to its end, though that takes longer than any fixed wait."""
    kept: list[Message] = []
    pause = threading.Event()

    def slow(message: Message) -> None:
        pause.wait(0.02)
        kept.append(message)

    relay = Relay("127.0.0.1", slow)
    try:
        run_worker(relay, "for number in range(500): emitter.line('stdout', str(number))\ndie()")
        found = [line.text for line in as_attempt(batches(kept)).logs]
    finally:
        relay.close()
    assert found == [str(number) for number in range(500)]


@pytest.mark.parametrize("then", ["emitter.line('log', 'tick')", "busy = False; raise Alarm"])
def test_signal_handlers_tear_nothing(
    relay: Relay, got: list[Message], as_attempt: Callable[..., Any], then: str
) -> None:
    """A handler that records, or raises, in the middle of a send leaves the line in order."""
    code = run_worker(
        relay,
        f"""
        class Alarm(Exception):
            pass

        busy = False

        def handle(*_):
            global busy
            if busy:
                {then}

        emitter.line("log", "Python's own start of a thread bears no such handler")
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for number in range(1500):
            while True:
                try:
                    busy = True
                    emitter.line("stdout", str(number) + "x" * 1000)
                    busy = False
                    break
                except Alarm:
                    pass
        emitter.flush()
        die()
        """,
    )
    assert code == -signal.SIGKILL
    lines = [line.text for line in as_attempt(batches(got)).logs if line.stream == "stdout"]
    numbers = [int(text.rstrip("x")) for text in lines]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1500))


def test_a_broken_line_costs_no_record(
    relay: Relay, got: list[Message], as_attempt: Callable[..., Any]
) -> None:
    """Where the driver's end is gone the outcome takes along what could not be sent."""
    code = run_worker(
        relay,
        """
        emitter.line("stdout", "arrives")
        line._socket.shutdown(1)
        emitter.line("stdout", "cannot be sent")
        emitter.line("stdout", "waits")
        rest = emitter.close()
        sys.exit(0 if rest.n_records == 2 and b"cannot be sent" in rest.log_records else 1)
        """,
    )
    assert code == 0
    assert [line.text for line in as_attempt(batches(got)).logs] == ["arrives"]
