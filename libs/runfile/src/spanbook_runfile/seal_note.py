"""What a run file says of its own seal, and what a reader says of the file."""

from collections import Counter
from collections.abc import Iterator

from spanbook_runfile import names
from spanbook_runfile.model import Counts, Seal
from spanbook_runfile.names import SealReason
from spanbook_runfile.values import Object, dict_of, enum_of, int_of, text_of

MAX_PROBLEMS = 50  # told of one run


def seal_of(note: Object, found: Counter[str]) -> Seal:
    """The seal that a ``spanbook`` member tells of; what is odd about it is counted in ``found``."""
    version = int_of(note.get("format"))
    if version > names.FORMAT_VERSION:
        found[
            f"is of format {version}, and this reader knows up to {names.FORMAT_VERSION}: "
            "update spanbook to see all of it"
        ] += 1
    declared = note.get("declared")
    return Seal(
        format=version,
        sealed_at=text_of(note.get("sealedAt")),
        reason=enum_of(SealReason, note.get("reason"), SealReason.IDLE),
        received=_counts(dict_of(note.get("received"))),
        declared=_counts(declared) if isinstance(declared, dict) else None,
        duplicates=int_of(note.get("duplicates")),
        digest=text_of(note.get("digest")),
    )


def _counts(raw: Object) -> Counts:
    return Counts(
        int_of(raw.get("spans")), int_of(raw.get("logRecords")), int_of(raw.get("metricPoints"))
    )


def sentences(found: Counter[str]) -> Iterator[str]:
    """Each problem as a sentence, with how often it was met."""
    for problem, times in list(found.items())[:MAX_PROBLEMS]:
        if times:
            yield f"The file {problem}." if times == 1 else f"The file {problem} ({times} times)."
