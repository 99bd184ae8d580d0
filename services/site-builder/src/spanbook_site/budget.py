"""Which runs keep their heavy files, and which their pages, so that the whole site stays within its size."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spanbook_site.record import Record

LISTED, LISTED_TASK = (
    8_000,
    3_000,
)  # bytes that a run, and each of its tasks, takes in lists and tables
WHOLE = 5  # a part in so many of the budget is for the newest runs' files, however many older ones there are


class Cut(NamedTuple):
    """What goes of a run: its heavy files, and of its pages all but a stub."""

    trimmed: bool
    stub: bool


def cuts(records: Iterable[Record], budget: int, base: int) -> dict[str, Cut]:
    """Run by run what goes: the oldest first, and of none more than of an older one.

    ``budget`` and ``base`` in bytes; ``base`` is what the site takes without any run. Pages go
    only where they would leave no room for the newest runs' files.
    """
    newest = sorted(records, key=lambda r: (r.start, r.key), reverse=True)
    left = budget - base - sum(_listed(r) for r in newest)
    files = min(sum(_heavy(r) for r in newest), budget // WHOLE)
    stubs = _over(newest, left - files - sum(map(_least, newest)), lambda r: r.lean - _least(r))
    left -= sum(_least(r) if r.key in stubs else r.lean for r in newest)
    trimmed = _over(newest, left, _heavy)
    return {r.key: Cut(r.key in trimmed or r.key in stubs, r.key in stubs) for r in newest}


def bytes_of(records: Iterable[Record], base: int) -> int:
    """What the site takes, about."""
    return base + sum(_taken(r) + _listed(r) for r in records)


def _over(newest: Iterable[Record], left: int, costs: Callable[[Record], int]) -> set[str]:
    """The runs, from the newest on, from where what they cost is more than what is left."""
    out = set()
    for record in newest:
        left -= costs(record)
        if left < 0 and not record.live and not record.broken:
            out.add(record.key)
    return out


def _taken(record: Record) -> int:
    if record.stub:
        return _least(record)
    return record.lean if record.trimmed else record.size


def _heavy(record: Record) -> int:
    return record.size - record.lean


def _least(record: Record) -> int:
    """What is left of a run at most; one that is tiny is no smaller as a stub."""
    return min(record.slim, record.lean)


def _listed(record: Record) -> int:
    return LISTED + LISTED_TASK * len(record.tasks)


__all__ = ["Cut", "bytes_of", "cuts"]
