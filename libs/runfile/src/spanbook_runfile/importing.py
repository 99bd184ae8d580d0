"""A sealed run file of a spool or of late data, by hand."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from spanbook_runfile.decode import load
from spanbook_runfile.errors import NoSuchRunError, NotARunFileError, SealedAlreadyError
from spanbook_runfile.export import SECTIONS, requests
from spanbook_runfile.fromjson import to_protobuf
from spanbook_runfile.journal import MAGIC, SUFFIX, Signal, frame, read_frames
from spanbook_runfile.merge import seal_journal
from spanbook_runfile.names import SealReason
from spanbook_runfile.paths import RUN_ID
from spanbook_runfile.wire import REQUESTS


def import_files(files: Sequence[Path], runs: Path, run_id: str | None = None) -> Path:
    """Seal one run out of its parts: a spool, late data, a journal in progress, or a run file.

    Raises:
        SealedAlreadyError: the run has a run file; what came late to it stays beside it.
        NoSuchRunError: the files do not tell which run they are of.
        NotARunFileError: a file is neither journal nor run file, or holds nothing of the run.
        OSError: a file cannot be read or written.
    """
    with tempfile.TemporaryDirectory(prefix="spanbook-import-") as aside:
        journals = [_as_journal(path, Path(aside) / str(n)) for n, path in enumerate(files)]
        run_id = _run_of(journals, run_id)
        target = runs / f"{run_id}.json"
        if target.exists():
            raise SealedAlreadyError(
                f"{target} is there already: a run file is never rewritten. To have all in one "
                "file, name the run file and this data in one command, and another folder with "
                "--runs."
            )
        runs.mkdir(parents=True, exist_ok=True)
        return seal_journal(journals, runs, run_id, SealReason.IMPORT)


def _as_journal(path: Path, aside: Path) -> Path:
    """The file itself, or where it is a run file, its content as a journal."""
    with path.open("rb") as stream:
        if stream.read(1) != b"{":
            return path
    whole = load(path.read_bytes(), name=path.name)
    aside.mkdir()
    journal = aside / f"{path.stem}{SUFFIX}"
    with journal.open("wb") as out:
        out.write(MAGIC)
        for signal, section in SECTIONS.items():
            for request, _ in requests(whole, section):
                out.write(frame(signal, to_protobuf(signal, request)))
    return journal


def _run_of(journals: Sequence[Path], wanted: str | None) -> str:
    """The run that journals are of: the one that is wanted, if they hold it, else the only one.

    It is told by the trace ids in them, else by their names.
    """
    found: Counter[str] = Counter()
    for path in journals:
        with path.open("rb") as stream:
            for signal, payload, _ in read_frames(stream):
                found.update(_trace_ids(signal, payload))
    if wanted and (wanted in found or not found):
        return wanted
    if wanted:
        raise NoSuchRunError(
            f"The files hold nothing of run {wanted}, but of {found.most_common(1)[0][0]}."
        )
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
