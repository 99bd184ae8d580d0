"""``history: branch``: every run file, compressed, in a folder that is a checkout of the data branch.

Git is not called here: ``scripts/data-branch`` fetches and pushes, this fills and reads the folder.
A file of the folder is never changed or removed, so that each publish adds one small commit.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path

from spanbook_runfile import RunFileError, trim
from spanbook_runfile.paths import RUN_ID

from spanbook_site import origins
from spanbook_site.collect.collect import MOST_BYTES, is_held
from spanbook_site.collect.errors import RefusedArtifactError
from spanbook_site.errors import SiteError
from spanbook_site.history.restored import Restored, put
from spanbook_site.origins import Ledger
from spanbook_site.output import replace_file

FOLDER = "runs"
SUFFIX = ".json.gz"


def pack(runs: Path, folder: Path) -> int:
    """Add the run files that a data branch's folder lacks, and where they came from; how many.

    Raises:
        SiteError: a folder cannot be read or written.
    """
    added = 0
    for path in sorted(runs.glob("*.json*")):
        run_id, trimmed = path.name.split(".")[0], path.name.endswith(trim.SUFFIX)
        if not RUN_ID.fullmatch(run_id) or not (trimmed or path.name == f"{run_id}.json"):
            continue
        whole = _place(folder, run_id, SUFFIX)
        target = _place(folder, run_id, trim.SUFFIX) if trimmed else whole
        if target.exists() or whole.exists():
            continue
        stored = path.read_bytes()
        replace_file(target, stored if trimmed else gzip.compress(stored, 9, mtime=0))
        added += 1
    ledger = Ledger.load(runs)
    if (folder / origins.NAME).exists() or ledger.runs or ledger.done:
        known = Ledger.load(folder)
        ledger.add(known.as_json())
        ledger.path = known.path
        folder.mkdir(parents=True, exist_ok=True)
        ledger.save()
    return added


def unpack(folder: Path, into: Path, *, most_bytes: int = MOST_BYTES) -> Restored:
    """Bring back every run of a data branch's folder that ``into`` lacks.

    Raises:
        SiteError: the folder cannot be read.
    """
    into.mkdir(parents=True, exist_ok=True)
    report = Restored("the data branch")
    if not folder.is_dir():
        report.source = "the data branch (there is none yet)"
        return report
    ledger = Ledger.load(into)
    ledger.add(Ledger.load(folder).as_json())
    ledger.save()
    for run_id, path in _stored(folder):
        if is_held(into, run_id):
            report.known += 1
            continue
        trimmed = path.name.endswith(trim.SUFFIX)
        try:
            stored = path.read_bytes()
            content = stored if trimmed else trim.unpack(stored, most_bytes, name=path.name)
            put(into, run_id, content, most_bytes, trimmed=trimmed)
            report.came += 1
        except (RefusedArtifactError, RunFileError) as error:
            report.lost.append((run_id, str(error)))
        except OSError as error:
            raise SiteError(f"{path} cannot be read: {error.strerror}.") from error
    return report


def _stored(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each run with its best file, the whole one before the trimmed."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"{FOLDER}/*/*{SUFFIX}")):
        run_id = path.name.split(".")[0]
        if RUN_ID.fullmatch(run_id) and path.is_file() and not path.is_symlink():
            known = found.get(run_id)
            if known is None or known.name.endswith(trim.SUFFIX):
                found[run_id] = path
    yield from found.items()


def _place(folder: Path, run_id: str, suffix: str) -> Path:
    return folder / FOLDER / run_id[:2] / f"{run_id}{suffix}"


__all__ = ["pack", "unpack"]
