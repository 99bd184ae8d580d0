"""A sealed run file of a spool or of late data, by hand."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from spanbook_runfile.errors import NoSuchRunError, NotARunFileError, SealedAlreadyError
from spanbook_runfile.journal import SUFFIX, Signal, read_frames
from spanbook_runfile.merge import seal_journal
from spanbook_runfile.names import SealReason
from spanbook_runfile.paths import RUN_ID
from spanbook_runfile.wire import REQUESTS


def import_journals(journals: Sequence[Path], runs: Path, run_id: str | None = None) -> Path:
    """Seal one run out of journals: a spool, late data, or a collector's own of a run in progress.

    Raises:
        SealedAlreadyError: the run has a run file; what came late to it stays beside it.
        NoSuchRunError: the files do not tell which run they are of.
        NotARunFileError: a file is no journal, or holds nothing of the run.
        OSError: a file cannot be read or written.
    """
    run_id = run_id or _run_of(journals)
    target = runs / f"{run_id}.json"
    if target.exists():
        raise SealedAlreadyError(
            f"{target} is there already: a run file is never rewritten. To seal it together with "
            "this data, move it away first and import the run's journals in one command, or give "
            "another --runs folder."
        )
    runs.mkdir(parents=True, exist_ok=True)
    return seal_journal(journals, runs, run_id, SealReason.IMPORT)


def _run_of(journals: Sequence[Path]) -> str:
    """The run that journals are of, by the trace ids in them, else by their names."""
    found: Counter[str] = Counter()
    for path in journals:
        with path.open("rb") as stream:
            for signal, payload, _ in read_frames(stream):
                found.update(_trace_ids(signal, payload))
    if len(found) > 1:
        ids = ", ".join(run for run, _ in found.most_common(3))
        raise NoSuchRunError(
            f"The files hold {len(found)} runs ({ids} …). Say which with --run-id."
        )
    if found:
        return next(iter(found))
    named = {path.name.removesuffix(SUFFIX) for path in journals}
    if len(named) == 1 and RUN_ID.fullmatch(name := named.pop()):
        return name
    raise NotARunFileError(
        f"{', '.join(path.name for path in journals)}: there is no whole record in it that tells "
        "its run. Say which run with --run-id if you know."
    )


def _trace_ids(signal: Signal, payload: bytes) -> set[str]:
    if signal is Signal.METRICS:
        return set()
    try:
        request = REQUESTS[signal].FromString(payload)
    except DecodeError:
        return set()
    ids = {i.trace_id for owner in request.owners for group in owner.groups for i in group.items}
    return {trace_id.hex() for trace_id in ids if len(trace_id) == 16}
