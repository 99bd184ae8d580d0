"""Which runs keep their heavy files, so that the whole site stays within its size."""

from collections.abc import Iterable

from spanbook_site.record import Record

LISTED = 12_000  # bytes that one run takes in lists, shards, feeds and tables, at most on average


def trimmed(records: Iterable[Record], budget: int, base: int) -> dict[str, bool]:
    """Run by run whether its heavy files go: the oldest first, and none younger than one that stays.

    ``budget`` and ``base`` in bytes; ``base`` is what the site takes without any run. What is
    left of a run that is trimmed counts too.
    """
    newest = sorted(records, key=lambda r: (r.start, r.key), reverse=True)
    left = budget - base - sum(r.lean + LISTED for r in newest)
    out = {}
    for record in newest:
        left -= record.size - record.lean
        out[record.key] = left < 0 and not record.live and not record.broken
    return out


def bytes_of(records: Iterable[Record], base: int) -> int:
    """What the site takes, about."""
    return base + sum((r.lean if r.trimmed else r.size) + LISTED for r in records)


__all__ = ["LISTED", "bytes_of", "trimmed"]
