"""What a run file's seal vouches for: the digest of all that stands before it."""

import hashlib

import orjson

SEALED = b',"spanbook":'  # what stands before it is what the digest covers


def digest_of(content: bytes) -> str:
    """``sha256:`` and the hex digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def declared(content: bytes) -> str | None:
    """The digest that a run file, or the end of one, says that it has; None where it says none."""
    _, found, note = content.rpartition(SEALED)
    try:
        told = orjson.loads(note.rstrip()[:-1])["digest"] if found else None
    except (ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, str) else None


def is_whole(content: bytes) -> bool:
    """Whether a sealed file's digest holds, so that nothing before the seal was changed."""
    told = declared(content)
    return told is not None and told == digest_of(content.rpartition(SEALED)[0])


__all__ = ["SEALED", "declared", "digest_of", "is_whole"]
