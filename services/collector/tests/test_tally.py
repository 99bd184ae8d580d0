"""What came of a run is counted once, and known again."""

import os
import random

from spanbook_collector.tally import Facts, Tally
from spanbook_runfile.journal import Signal
from spanbook_runfile.model import Counts


def _keys(count: int) -> list[bytes]:
    return [os.urandom(8) for _ in range(count)]


def test_complete_is_as_many_different_ones_as_declared() -> None:
    """Duplicates do not make up for what is missing; more than declared is complete."""
    tally, keys = Tally(), _keys(100)
    tally.add(Signal.TRACES, Facts(b"".join(keys[:99]) * 3))
    tally.add(Signal.TRACES, Facts(keys[0], run_span=True, declared=Counts(100, 0, 0)))
    assert not tally.complete
    tally.add(Signal.TRACES, Facts(keys[99]))
    assert tally.complete


def test_what_is_here_is_known_again() -> None:
    """A payload of which all came is a retry, however it came; one of which a part did is not."""
    tally, keys = Tally(), _keys(60)
    for start in range(0, 60, 10):
        tally.add(Signal.TRACES, Facts(b"".join(keys[start : start + 10])))
    rng = random.Random(1)
    for size in (0, 1, 10, 25, 60):
        some = rng.sample(keys, size)
        assert tally.covers(Signal.TRACES, Facts(b"".join(some)))
        assert not tally.covers(Signal.TRACES, Facts(b"".join([*some, os.urandom(8)])))
        assert not tally.covers(Signal.TRACES, Facts(b"".join([os.urandom(8), *some])))
        assert not tally.covers(Signal.TRACES, Facts(b"".join(some), unkeyed=1))
    assert not tally.covers(Signal.LOGS, Facts(keys[0]))


def test_a_key_across_two_others_is_not_one() -> None:
    """Bytes that stand there by chance, half in one key and half in the next, are no key."""
    tally, (one, two) = Tally(), _keys(2)
    tally.add(Signal.TRACES, Facts(one + two))
    assert not tally.covers(Signal.TRACES, Facts(one[4:] + two[:4]))
    tally.add(Signal.TRACES, Facts(one[4:] + two[:4]))
    assert tally.covers(Signal.TRACES, Facts(one[4:] + two[:4]))
