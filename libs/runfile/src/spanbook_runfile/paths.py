"""Untrusted names from a run file, made safe for a disk and for a URL."""

import re
from pathlib import PurePosixPath

RUN_ID = re.compile(r"[0-9a-f]{32}")
SPAN_ID = re.compile(r"[0-9a-f]{16}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=, -]+")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_path(path: str, *, max_part: int = 80, max_parts: int = 12) -> PurePosixPath:
    """A relative path without ``..``, drive, control or odd characters, of bounded length.

    The same input gives the same path; different inputs may give one path, so callers who write
    several files keep those apart (:func:`unique`).
    """
    parts = []
    for raw in re.split(r"[/\\]+", path):
        part = _UNSAFE.sub("_", raw).strip(". ")
        if part:
            parts.append(_short("_" + part if _RESERVED.fullmatch(part) else part, max_part))
    return PurePosixPath(*parts[-max_parts:]) if parts else PurePosixPath("unnamed")


def _short(part: str, most: int) -> str:
    """A name of at most ``most`` characters, which keeps its suffix."""
    if len(part) <= most:
        return part
    stem, dot, suffix = part.rpartition(".")
    keep = dot + suffix if stem and len(suffix) <= 10 else ""
    return part[: most - len(keep)].rstrip(". ") + keep


def unique(path: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """``path``, with a number if need be, so that it is not in ``taken``; adds it in lower case.

    Disks that tell no case apart take ``A.txt`` and ``a.txt`` for one file, so this does too.
    """

    def numbered(number: int) -> PurePosixPath:
        return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")

    def is_taken(number: int) -> bool:
        return str(numbered(number)).lower() in taken

    low, high = (
        0,
        1,
    )  # numbers are mostly taken without gaps: a search, not a walk, finds a free one
    while is_taken(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_taken(middle) else (low, middle)
    taken.add(str(numbered(high)).lower())
    return numbered(high)
