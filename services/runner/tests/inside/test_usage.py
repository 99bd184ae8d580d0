"""CPU and memory of an attempt are measured, with what it starts."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

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
