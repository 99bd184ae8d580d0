"""One run's seal, as the sealer's process does it: a journal becomes a run file, or not at all."""

import tempfile
import time
from pathlib import Path

from spanbook_runfile.digest import declared
from spanbook_runfile.disk import sync_folder
from spanbook_runfile.merge import seal_journal
from spanbook_runfile.names import SealReason

_NOTE_MOST = 1 << 16  # bytes: the spanbook member stands at the end and is short


def seal(journal: Path, runs: Path, run_id: str, reason: SealReason) -> Path:
    """Seal one journal into ``runs``; nothing to do where a crash kept a sealed one's journal.

    Raises:
        OSError: the disk refused.
        FileExistsError: there is a run file of that run with other content; it stays as it is.
    """
    target = runs / f"{run_id}.json"
    if not target.exists():
        return seal_journal(journal, runs, run_id, reason)
    with tempfile.TemporaryDirectory(prefix=".check-", dir=runs) as aside:
        again = seal_journal(journal, Path(aside), run_id, reason)
        if _digest(again) == _digest(target):  # the merge is deterministic
            sync_folder(runs)  # the first try may have ended before its rename was durable
            return target
    raise FileExistsError(f"{target} is there already, with other content; it is never rewritten.")


def _digest(path: Path) -> str | None:
    """The digest that a run file says it has; None where it does not say."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _NOTE_MOST))
        return declared(stream.read())


def answer(request: dict[str, str]) -> dict[str, object]:
    """Carry out one request; what went wrong is told, not raised."""
    started = time.monotonic()
    try:
        path = seal(
            Path(request["journal"]),
            Path(request["runs"]),
            request["run"],
            SealReason(request["reason"]),
        )
        size = path.stat().st_size
    except FileExistsError as error:
        return {"exists": True, "error": str(error)}
    except Exception as error:  # noqa: BLE001 - told to the collector, which logs it and tries again
        return {"error": f"{type(error).__name__}: {error}"}
    return {"path": str(path), "bytes": size, "seconds": time.monotonic() - started}
