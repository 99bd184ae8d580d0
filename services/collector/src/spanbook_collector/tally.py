"""What came of one run so far: enough to know when all that its runner declared is there."""

from array import array
from dataclasses import dataclass, field

from spanbook_runfile import names
from spanbook_runfile.journal import Signal
from spanbook_runfile.model import Counts


@dataclass(frozen=True, slots=True)
class Facts:
    """What one payload adds to a run.

    ``keys`` has 8 bytes for each span, log record or metric point that can be told from its
    duplicates; ``unkeyed`` counts the log records that cannot.
    """

    keys: bytes = b""
    unkeyed: int = 0
    run_span: bool = False
    declared: Counts | None = None
    beside: bool = False  # not of what the runner declares, and so not counted

    @property
    def items(self) -> int:
        """How many spans, log records or points these are, duplicates included."""
        return len(self.keys) // 8 + self.unkeyed


@dataclass(slots=True)
class _Distinct:
    """How many different keys there are: 8 bytes a key, and counted only when it matters."""

    keys: bytearray = field(default_factory=bytearray)
    unkeyed: int = 0
    _look_again: int = 0  # not before this many keys can there be enough

    def add(self, facts: Facts) -> None:
        self.keys += facts.keys
        self.unkeyed += facts.unkeyed

    def reaches(self, wanted: int) -> bool:
        total = len(self.keys) // 8 + self.unkeyed
        if total < max(wanted, self._look_again):
            return False
        missing = wanted - len(_each(self.keys)) - self.unkeyed
        self._look_again = total + missing
        return missing <= 0

    def holds(self, keys: bytes) -> bool:
        """Whether all of a payload's keys are here."""
        if self._finds(keys):  # a retry's stand together, as they came
            return True
        return self._finds(keys[:8]) and _each(keys) <= _each(self.keys)

    def _finds(self, keys: bytes) -> bool:
        at = self.keys.find(keys)
        while at % 8 and at >= 0:
            at = self.keys.find(keys, at + 1)
        return at >= 0


def _each(keys: bytes | bytearray) -> set[int]:
    return set(array("q", bytes(keys)))


@dataclass(slots=True)
class Tally:
    """The counts of one run, and whether its run span came."""

    run_span: bool = False
    declared: Counts | None = None
    _by_signal: dict[Signal, _Distinct] = field(
        default_factory=lambda: {signal: _Distinct() for signal in Signal}
    )

    def add(self, signal: Signal, facts: Facts) -> None:
        """Count a payload that is on disk."""
        if facts.beside:
            return
        self._by_signal[signal].add(facts)
        self.run_span = self.run_span or facts.run_span
        self.declared = facts.declared or self.declared

    @property
    def complete(self) -> bool:
        """Whether the run span came, and as much as it declared."""
        if self.declared is None:
            return False
        return (
            self._by_signal[Signal.TRACES].reaches(self.declared.spans)
            and self._by_signal[Signal.LOGS].reaches(self.declared.log_records)
            and self._by_signal[Signal.METRICS].reaches(self.declared.metric_points)
        )

    def covers(self, signal: Signal, facts: Facts) -> bool:
        """Whether all of a payload is here already; never so where a record has no id."""
        if facts.unkeyed or facts.beside:
            return False
        return self._by_signal[signal].holds(facts.keys)


_BESIDE = names.BESIDE_SCOPE.encode()
_BESIDE_SCOPE = bytes((0x0A, len(_BESIDE) + 2, 0x0A, len(_BESIDE))) + _BESIDE


def is_beside(payload: bytes) -> bool:
    """Whether a request's first scope is :data:`~spanbook_runfile.names.BESIDE_SCOPE`."""
    return payload.find(_BESIDE_SCOPE, 0, 1 << 16) >= 0
