"""The inputs: run files and journals as found in their folders, and one of them read."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spanbook_runfile import NotARunFileError, Run, read_run
from spanbook_runfile.journal import SUFFIX
from spanbook_runfile.paths import RUN_ID, safe_path

from spanbook_site.errors import SiteError


@dataclass(frozen=True)
class Source:
    """One input file; ``key`` names its folder of the site, and ``stamp`` changes with its content."""

    path: Path
    live: bool
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def key(self) -> str:
        """The run id, or for a file of another name a safe one that no run id can be."""
        stem = self.name.removesuffix(SUFFIX if self.live else ".json")
        if RUN_ID.fullmatch(stem):
            return stem
        digest = hashlib.sha256(os.fsencode(self.name)).hexdigest()[:8]
        return f"file-{str(safe_path(stem, max_part=40)).replace(' ', '-').lower()}-{digest}"

    @property
    def stamp(self) -> str:
        """Size and time of change: run files are never rewritten, journals only grow."""
        return f"{self.size}:{self.mtime_ns}"


def scan(runs: Path, journals: Path | None) -> dict[str, Source]:
    """Every run file, and every journal of a run that is not sealed yet, by key.

    Raises:
        SiteError: the folder of run files is not there.
    """
    if not runs.is_dir():
        raise SiteError(
            f"There is no folder {runs}. Give --runs the folder where the collector seals run files, "
            "or run a pipeline first: spanbook run PIPELINE."
        )
    found = {source.key: source for source in _listed(runs, ".json", live=False)}
    if journals is not None and journals.is_dir():
        for source in _listed(journals, SUFFIX, live=True):
            found.setdefault(source.key, source)
    return found


def _listed(folder: Path, suffix: str, *, live: bool) -> Iterator[Source]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(suffix) or entry.name.startswith("."):
                continue
            try:
                stat = entry.stat()
            except OSError:  # gone since: sealed, or taken away
                continue
            if entry.is_file():
                yield Source(Path(entry.path), live, stat.st_size, stat.st_mtime_ns)


def read(source: Source, max_bytes: int) -> Run:
    """Read a run file.

    Raises:
        RunFileError: it is no run file, or too large.
        OSError: it cannot be read.
    """
    run = read_run(source.path, max_bytes=max_bytes)
    if run.id != source.key:
        raise NotARunFileError(
            f"{source.name} holds the run {run.id}. A run file is named after its run: "
            f"rename it to {run.id}.json."
        )
    return run
