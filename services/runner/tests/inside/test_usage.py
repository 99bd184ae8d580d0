"""CPU and memory of an attempt are measured, with what it starts."""

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from spanbook import usage
from spanbook.emitter import Emitter

Run = Callable[..., Any]


def cpu_seconds(ran: Any) -> float:
    """The CPU time that the samples amount to."""
    times = [u.time / 1e9 for u in ran.attempt.usage]
    spans = [0.3, *(b - a for a, b in pairwise(times))]
    return sum(u.cpu * span for u, span in zip(ran.attempt.usage, spans, strict=True))


def test_children_count(run_inside: Run) -> None:
    """CPU and memory of a subprocess are the attempt's."""
    ran = run_inside(
        """
        import subprocess, sys
        code = "import time\\nx = bytearray(200 << 20)\\nwhile time.process_time() < 1.5: pass"
        subprocess.run([sys.executable, "-c", code])
        """
    )
    assert 0.9 < cpu_seconds(ran) < 2.5
    assert max(u.memory for u in ran.attempt.usage) > 200 << 20


def test_own_work(run_inside: Run) -> None:
    """An attempt of more than half a second has samples, one at its end."""
    ran = run_inside(
        "import time\nend = time.process_time() + 0.8\nwhile time.process_time() < end: pass"
    )
    assert len(ran.attempt.usage) >= 2
    assert 0.4 < cpu_seconds(ran) < 1.5


def test_short_attempts_are_not_sampled(run_inside: Run) -> None:
    """An attempt of no time has no samples, and pays for none."""
    assert run_inside("pass").attempt.usage == ()


def test_a_sample_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A destructor of the task's may hang on the thread that samples; the attempt ends all the same."""
    hangs, goes_on = threading.Event(), threading.Event()

    def measure() -> tuple[float, int]:
        hangs.set()
        goes_on.wait(60)
        return 0.0, 0

    monkeypatch.setattr(usage, "_measure", measure)
    monkeypatch.setattr(usage, "WAIT_SECONDS", 0.1)
    emitter = Emitter("ab" * 16, "cd" * 8, lambda _: None)
    with usage.sampler(emitter, 0.01):
        assert hangs.wait(30)
    assert not goes_on.is_set()
    goes_on.set()
