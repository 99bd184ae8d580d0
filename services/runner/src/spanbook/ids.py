"""Ids of runs and spans: random, from a generator of our own, which a pipeline's ``random.seed`` leaves alone."""

import random
import secrets

_random = random.Random(secrets.randbits(256))  # noqa: S311 (ids are public; a system call each takes longer)


def new_run_id() -> str:
    """A run id, which is a trace id: 32 hex digits."""
    return secrets.token_hex(16)


def new_span_id() -> str:
    """A span id: 16 hex digits, not all of them 0."""
    return f"{_random.randrange(1, 1 << 64):016x}"
