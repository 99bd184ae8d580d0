"""Which runs keep their heavy files, so that the whole site stays within its size."""

from collections.abc import Iterable

from spanbook_site.record import Record

LISTED, LISTED_TASK = (
    8_000,
    3_000,
)  # bytes that a run, and each of its tasks, takes in lists and tables


def trimmed(records: Iterable[Record], budget: int, base: int) -> dict[str, bool]:
    """Run by run whether its heavy files go: the oldest first, and none younger than one that stays.

    ``budget`` and ``base`` in bytes; ``base`` is what the site takes without any run. What is
    left of a run that is trimmed counts too.
    """
    newest = sorted(records, key=lambda r: (r.start, r.key), reverse=True)
    left = budget - base - sum(r.lean + _listed(r) for r in newest)
    out = {}
    for record in newest:
        left -= record.size - record.lean
        out[record.key] = left < 0 and not record.live and not record.broken
    return out


def bytes_of(records: Iterable[Record], base: int) -> int:
    """What the site takes, about."""
    return base + sum((r.lean if r.trimmed else r.size) + _listed(r) for r in records)


def _listed(record: Record) -> int:
    return LISTED + LISTED_TASK * len(record.tasks)


__all__ = ["bytes_of", "trimmed"]
