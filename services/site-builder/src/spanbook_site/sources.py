"""The inputs: run files and journals as found in their folders, and one of them read."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from spanbook_runfile import NotARunFileError, Run, TooLargeError, parse_run, trim
from spanbook_runfile.journal import SUFFIX
from spanbook_runfile.paths import RUN_ID, safe_path

from spanbook_site import origins
from spanbook_site.errors import SiteError
from spanbook_site.origins import Ledger, Origin


@dataclass(slots=True)  # not frozen: ten thousand of them are made at each build
class Source:
    """One input file; ``key`` names its folder of the site, and ``stamp`` changes with its content."""

    folder: Path
    name: str  # the file's
    live: bool
    size: int
    mtime_ns: int
    origin: Origin | None = None  # by GitHub's word, where it was collected from there

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    @property
    def trimmed(self) -> bool:
        """Whether it is what an earlier site kept of a run, without the bytes of its artifacts."""
        return self.name.endswith(trim.SUFFIX)

    @property
    def key(self) -> str:
        """The run id, or for a file of another name a safe one that no run id can be."""
        stem = self.name.removesuffix(SUFFIX if self.live else _suffix(self.name))
        if RUN_ID.fullmatch(stem):
            return stem
        digest = hashlib.sha256(os.fsencode(self.name)).hexdigest()[:8]
        return f"file-{str(safe_path(stem, max_part=40)).replace(' ', '-').lower()}-{digest}"

    @property
    def stamp(self) -> str:
        """Size and time of change: run files are never rewritten, journals only grow."""
        seen = f"{self.size}:{self.mtime_ns}"
        if self.origin is None:
            return seen
        return f"{seen}:{hashlib.sha256(repr(self.origin).encode()).hexdigest()[:8]}"


def _suffix(name: str) -> str:
    return trim.SUFFIX if name.endswith(trim.SUFFIX) else ".json"


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
    found: dict[str, Source] = {}
    known = Ledger.load(runs).runs
    for suffix in (".json", trim.SUFFIX):  # the whole file, where there are both
        for source in _listed(runs, suffix, live=False):
            key = source.key
            if key not in found:
                origin = known.get(key)
                found[key] = replace(source, origin=origin) if origin else source
    if journals is not None and journals.is_dir():
        for source in _listed(journals, SUFFIX, live=True):
            found.setdefault(source.key, source)
    return found


def _listed(folder: Path, suffix: str, *, live: bool) -> Iterator[Source]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(suffix) or entry.name.startswith((".", origins.NAME)):
                continue
            try:
                stat = entry.stat()
            except OSError:  # gone since: sealed, or taken away
                continue
            if entry.is_file():
                yield Source(folder, entry.name, live, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class Read:
    """A run with what its file is known by; a trimmed one's ``original`` is what it was made from."""

    run: Run
    path: Path
    content: bytes  # as stored
    original: trim.Original | None = None
    stub: bool = False  # no page but a stub can be made from it

    def unpacked(self, most: int) -> bytes:
        """The run file's bytes, of which a trimmed one's are at most ``most``."""
        return trim.unpack(self.content, most) if self.original else self.content

    @property
    def sha256(self) -> str:
        """The stored file's digest, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def read(source: Source, max_bytes: int) -> Read:
    """Read a run file, or a trimmed one.

    Raises:
        RunFileError: it is no run file, or too large.
        OSError: it cannot be read.
    """
    if source.path.stat().st_size > max_bytes:
        raise TooLargeError(
            f"{source.name} has {source.path.stat().st_size:,} bytes, over the limit of "
            f"{max_bytes:,} for one run file. Raise the limit if you trust the file."
        )
    stored = source.path.read_bytes()
    content = trim.unpack(stored, max_bytes, name=source.name) if source.trimmed else stored
    run = parse_run(content, name=source.name)
    if run.id != source.key:
        raise NotARunFileError(
            f"{source.name} holds the run {run.id}. A run file is named after its run: "
            f"rename it to {run.id}{_suffix(source.name)}."
        )
    original = trim.original_of(content) if source.trimmed else None
    return Read(run, source.path, stored, original, stub=source.trimmed and trim.is_stub(content))
