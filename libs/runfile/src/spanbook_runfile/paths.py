"""Names from a run file are untrusted; here they become names that are safe on a disk and in a URL."""

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
    for part in re.split(r"[/\\]+", path):
        part = _UNSAFE.sub("_", part).strip(". ")
        if not part:
            continue
        if _RESERVED.fullmatch(part):
            part = "_" + part
        if len(part) > max_part:
            stem, dot, suffix = part.rpartition(".")
            keep = dot + suffix if stem and len(suffix) <= 10 else ""
            part = part[: max_part - len(keep)].rstrip(". ") + keep
        parts.append(part)
    return PurePosixPath(*parts[-max_parts:]) if parts else PurePosixPath("unnamed")


def unique(path: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """``path``, or ``path`` with a number, so that it is not in ``taken`` (compared without case); adds it."""
    candidate, number = path, 1
    while str(candidate).lower() in taken:
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(str(candidate).lower())
    return candidate
