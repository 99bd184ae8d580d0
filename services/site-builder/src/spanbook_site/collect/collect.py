"""From a list of artifacts to a folder of run files."""

import hashlib
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile import trim
from spanbook_runfile.merge import write_run_file
from spanbook_runfile.model import Run

from spanbook_site import formats
from spanbook_site.collect.errors import (
    DeniedError,
    ExpiredError,
    RateLimitedError,
    RefusedArtifactError,
)
from spanbook_site.collect.github import Artifact, GitHub
from spanbook_site.collect.unpack import is_run_file, run_files, sealed_run
from spanbook_site.errors import SiteError
from spanbook_site.origins import Ledger, Origin

PARALLEL = 4
MOST_TOLD = 300  # characters of an untrusted text in a report
MOST_BYTES = 256 << 20  # of one artifact, zipped and unpacked alike


@dataclass
class Collected:
    """What one collection did; names of artifacts with the reason where something is left out."""

    new: int = 0
    known: int = 0
    downloaded: int = 0
    forks: int = 0
    left: int = 0  # that the rate limit did not let through
    expired: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report, a line each."""
        yield (
            f"{formats.plural(self.new, 'new run file')} from "
            f"{formats.plural(self.downloaded, 'download')}, "
            f"{formats.plural(self.known, 'artifact')} known from before"
        )
        if self.forks:
            yield f"{self.forks} artifacts of forks left out (--forks takes them)"
        if self.left:
            yield f"{self.left} artifacts left for the next time: GitHub's rate limit lasts too long"
        if self.expired:
            named = formats.text(", ".join(self.expired[:10]), MOST_TOLD)
            yield f"{len(self.expired)} artifacts expired on GitHub: {named}"
        # a line of a job's log that starts with "::" would be a command to it
        for name, why in self.refused:
            yield f"refused {formats.text(name, MOST_TOLD)}: {formats.text(why, MOST_TOLD)}"
        for run_id, why in self.conflicts:
            yield f"labelled {run_id}: {formats.text(why, MOST_TOLD)}"


def collect(
    github: GitHub,
    into: Path,
    *,
    prefix: str,
    most_artifacts: int,
    most_bytes: int = MOST_BYTES,
    forks: bool = False,
    zips: Path | None = None,
    partial: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Collected:
    """Fetch what ``into`` lacks; what was done when it breaks off is kept, and skipped next time.

    ``zips`` is a folder where downloads are kept, and looked for first, as ``<artifact id>.zip``;
    ``partial`` takes what came for enough where the rate limit lasts too long.

    Raises:
        GitHubError: the list could not be had, or the rate limit lasts too long.
    """
    into.mkdir(parents=True, exist_ok=True)
    listed = list(github.artifacts(prefix, most_artifacts))
    # the oldest first, forks last: a run file that names a run which is there is not the run
    listed.sort(key=lambda a: (a.fork, a.created_at, a.id))
    with tempfile.TemporaryDirectory(prefix="spanbook-collect-") as scratch:
        if zips:
            zips.mkdir(parents=True, exist_ok=True)
        collection = _Collection(github, into, most_bytes, zips or Path(scratch))
        wanted = [artifact for artifact in listed if collection.wants(artifact, forks=forks)]
        for number, (artifact, outcome) in enumerate(collection.downloads(wanted), start=1):
            try:
                collection.take(artifact, outcome)
            except RateLimitedError:
                if not partial:
                    raise
                collection.report.left = len(wanted) - number + 1
                break
            if not zips:
                collection.zip_of(artifact).unlink(missing_ok=True)
            progress(f"{number}/{len(wanted)} {formats.text(artifact.name, MOST_TOLD)}")
        collection.ledger.forget_all_but({artifact.id for artifact in listed})
        collection.ledger.save()
    return collection.report


class _Collection:
    """One collection under way: its ledger and its report."""

    def __init__(self, github: GitHub, into: Path, most_bytes: int, zips: Path) -> None:
        self.github = github
        self.into = into
        self.most_bytes = most_bytes
        self.zips = zips
        self.ledger = Ledger.load(into)
        self.report = Collected()

    def zip_of(self, artifact: Artifact) -> Path:
        """Where an artifact's zip is, or will be."""
        return self.zips / f"{artifact.id}.zip"

    def wants(self, artifact: Artifact, *, forks: bool) -> bool:
        """Whether to fetch it; where not, the report says why."""
        if self._is_known(artifact):
            self.report.known += 1
        elif artifact.fork and not forks:
            self.report.forks += 1
        elif artifact.expired:
            self.report.expired.append(artifact.name)
        else:
            return True
        return False

    def _is_known(self, artifact: Artifact) -> bool:
        held = self.ledger.done.get(artifact.id)
        if held is None:
            return artifact.id in self.ledger.refused
        return all(is_held(self.into, run_id) for run_id in held)

    def downloads(self, wanted: list[Artifact]) -> Iterator[tuple[Artifact, Future[bool]]]:
        """Each artifact with whether it was downloaded, or what became of it, in their order."""
        queue = iter(wanted)
        pending: deque[tuple[Artifact, Future[bool]]] = deque()
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            while True:
                # no more at a time than are being fetched: the disk holds few zips at once
                while len(pending) < PARALLEL and (artifact := next(queue, None)):
                    pending.append((artifact, pool.submit(self._fetch, artifact)))
                if not pending:
                    return
                yield pending.popleft()
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, artifact: Artifact) -> bool:
        target = self.zip_of(artifact)
        if target.is_file() and _has_digest(target, artifact.digest):
            return False
        aside = target.with_suffix(".part")
        try:
            self.github.download(artifact, aside, self.most_bytes)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
        return True

    def take(self, artifact: Artifact, outcome: Future[bool]) -> None:
        """Put one artifact's run files in place, and its fate into ledger and report.

        Raises:
            RateLimitedError, DeniedError: it is no use to go on.
        """
        try:
            self.report.downloaded += outcome.result()
            self._keep(artifact)
        except ExpiredError:
            self.report.expired.append(artifact.name)
        except (RateLimitedError, DeniedError):
            raise
        except RefusedArtifactError as error:
            self.report.refused.append((artifact.name, str(error)))
            if artifact.digest:  # else what came may be what the way made of it
                self.ledger.refused[artifact.id] = str(error)
        except SiteError as error:  # a passing fault: tried again next time
            self.report.refused.append((artifact.name, str(error)))
        self.ledger.save()

    def _keep(self, artifact: Artifact) -> None:
        held = []
        for run, content in list(runs_of(self.zip_of(artifact), self.most_bytes)):
            if place(run, content, self.into):
                self.report.new += 1
            origin = Origin.of(artifact, run, self.github.repository)
            self.ledger.runs.setdefault(run.id, origin)
            self.report.conflicts += [(run.id, why) for why in origin.conflicts]
            held.append(run.id)
        self.ledger.done[artifact.id] = tuple(held)


def _has_digest(path: Path, digest: str) -> bool:
    if not digest.startswith("sha256:"):
        return False
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest() == digest


def from_folder(zips: Path, into: Path, *, most_bytes: int = MOST_BYTES) -> Collected:
    """Take run files from zips, or single run files, that were downloaded before.

    Raises:
        SiteError: the folder cannot be read.
    """
    into.mkdir(parents=True, exist_ok=True)
    report = Collected()
    if not zips.is_dir():
        raise SiteError(f"There is no folder of zips {zips}.")
    for path in sorted(p for p in zips.rglob("*") if p.is_file() and not p.is_symlink()):
        try:
            for run, content in list(runs_of(path, most_bytes)):
                if place(run, content, into):
                    report.new += 1
                else:
                    report.known += 1
        except RefusedArtifactError as error:
            report.refused.append((str(path.relative_to(zips)), str(error)))
        except OSError as error:
            raise SiteError(f"{path} cannot be read: {error.strerror}.") from error
    return report


def runs_of(path: Path, most: int) -> Iterator[tuple[Run, bytes]]:
    """The runs of a zip, or of a single run file (GitHub can keep one file unzipped).

    Raises:
        RefusedArtifactError: it is neither, or over ``most`` bytes.
    """
    if path.stat().st_size > most:
        raise RefusedArtifactError(f"it has more than {most:,} bytes")
    if not zipfile.is_zipfile(path) and is_run_file(path):
        content = path.read_bytes()
        yield sealed_run(content), content
    else:
        yield from run_files(path, most)


def place(run: Run, content: bytes, into: Path) -> bool:
    """Write a run file under its own run id; one that is there stays as it is.

    Raises:
        RefusedArtifactError: another file of that run is there.
    """
    target, trimmed = into / f"{run.id}.json", into / f"{run.id}{trim.SUFFIX}"
    if target.exists():
        same = target.read_bytes() == content
    elif trimmed.exists():
        original = trim.original_of(trim.unpack(trimmed.read_bytes(), MOST_BYTES))
        same = original is not None and original.digest == trim.digest_of(content)
    else:
        write_run_file(into, run.id, content)
        return True
    if not same:
        raise RefusedArtifactError(f"another file of run {run.id} is here already")
    return False


def is_held(folder: Path, run_id: str) -> bool:
    """Whether a folder has a run, whole or trimmed."""
    return any((folder / f"{run_id}{suffix}").exists() for suffix in (".json", trim.SUFFIX))
