"""Start-up: every journal is read, a torn tail is cut off, and what was done is told."""

import logging
import os
import re
from pathlib import Path

from spanbook_runfile.errors import NotARunFileError
from spanbook_runfile.journal import MAGIC, SUFFIX, frame_head, read_frames
from spanbook_runfile.paths import RUN_ID

from spanbook_collector.errors import CollectorError, Invalid
from spanbook_collector.journals import Journal
from spanbook_collector.route import facts_of
from spanbook_collector.runs import Runs, file_age
from spanbook_collector.tally import Tally, is_beside

log = logging.getLogger(__name__)
_ASIDE = re.compile(rf"{RUN_ID.pattern}\.\d+\{SUFFIX}")  # late data beside late data: Runs names it


def recover(runs: Runs) -> None:
    """Take up the journals and late data that an earlier collector left.

    Raises:
        CollectorError: a folder or journal cannot be read, or a torn tail not be cut.
    """
    for folder in (runs.settings.runs, runs.settings.journals, runs.settings.late):
        for path in folder.glob(".*.tmp"):  # of a sealer that was killed
            path.unlink(missing_ok=True)
    for path in _journal_files(runs.settings.late):
        journal, _ = _read(path, runs)
        runs.late[path.stem] = journal
    for path in _journal_files(runs.settings.journals):
        age = file_age(path)
        journal, tally = _read(path, runs)
        if journal.length <= len(MAGIC):
            path.unlink()
            log.info("Removed %s: nothing in it had been acknowledged.", path)
            continue
        run = runs.add(path.stem, journal, age)
        run.tally = tally
        log.info(
            "Took up run %s: %s bytes, last written %.0f s ago%s.",
            run.id,
            f"{journal.length:,}",
            age,
            ", its run span is there" if tally.run_span else "",
        )


def _journal_files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix == SUFFIX and RUN_ID.fullmatch(path.stem) and path.is_file():
            found.append(path)
        elif not _ASIDE.fullmatch(path.name):
            log.warning("%s is no journal of a run; it is left alone.", path)
    return found


def _read(path: Path, runs: Runs) -> tuple[Journal, Tally]:
    """A journal, mended, with what it holds."""
    journal, tally = Journal(path, runs.disk), Tally()
    end = 0
    try:
        with path.open("rb") as stream:
            for signal, payload, behind in read_frames(stream):
                head = frame_head(signal, payload)
                begin = behind - len(payload) - len(head)
                if begin > max(end, len(MAGIC)):
                    log.error(
                        "%s: bytes %d to %d are damaged; what is behind them stays.",
                        path,
                        end,
                        begin,
                    )
                journal.remember(head, begin)
                end = behind
                if is_beside(payload):
                    continue
                try:
                    tally.add(signal, facts_of(signal, payload))
                except Invalid as error:  # whole by its checksum: keep it, the seal will tell
                    log.warning("%s: the frame before byte %d: %s", path, behind, error)
    except (OSError, NotARunFileError) as error:
        raise CollectorError(
            f"{path} cannot be taken up: {error} Mend it or move it elsewhere, then start again."
        ) from error
    _cut(path, end)
    journal.taken_up(end)
    return journal, tally


def _cut(path: Path, length: int) -> None:
    size = path.stat().st_size
    if size == length:
        return
    handle = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(handle, length)
        os.fsync(handle)
    except OSError as error:
        raise CollectorError(f"The torn end of {path} cannot be cut off: {error}") from error
    finally:
        os.close(handle)
    log.warning("Cut %s of torn, never acknowledged data (%d bytes).", path, size - length)
