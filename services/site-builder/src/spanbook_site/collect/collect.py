"""From a list of artifacts to a folder of run files."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile.merge import write_run_file
from spanbook_runfile.model import Run

from spanbook_site.collect.errors import ExpiredError, RateLimitedError, RefusedArtifactError
from spanbook_site.collect.github import Artifact, GitHub
from spanbook_site.collect.ledger import Ledger, Origin
from spanbook_site.collect.unpack import is_run_file, run_files, sealed_run
from spanbook_site.errors import SiteError

PARALLEL = 4
MOST_BYTES = 256 << 20  # of one artifact, zipped and unpacked alike


@dataclass
class Collected:
    """What one collection did; names of artifacts with the reason where something is left out."""

    new: int = 0
    known: int = 0
    forks: int = 0
    expired: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report, a line each."""
        yield f"{self.new} new run files, {self.known} artifacts known from before"
        if self.forks:
            yield f"{self.forks} artifacts of forks left out (--forks takes them)"
        if self.expired:
            yield f"{len(self.expired)} artifacts expired on GitHub: {', '.join(self.expired[:10])}"
        for name, why in self.refused:
            yield f"refused {name}: {why}"
        for run_id, why in self.conflicts:
            yield f"labelled {run_id}: {why}"


def collect(
    github: GitHub,
    into: Path,
    *,
    prefix: str,
    most_artifacts: int,
    most_bytes: int = MOST_BYTES,
    forks: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Collected:
    """Fetch what ``into`` lacks; what was done when it breaks off is kept, and skipped next time.

    Raises:
        GitHubError: the list could not be had, or the rate limit lasts too long.
    """
    into.mkdir(parents=True, exist_ok=True)
    collection = _Collection(github, into, most_bytes)
    wanted = [
        artifact
        for artifact in github.artifacts(prefix, most_artifacts)
        if collection.wants(artifact, forks=forks)
    ]
    with tempfile.TemporaryDirectory(prefix="spanbook-collect-") as scratch:
        downloads = collection.downloads(wanted, Path(scratch))
        for number, (artifact, outcome) in enumerate(downloads, start=1):
            progress(f"{number}/{len(wanted)} {artifact.name}")
            collection.take(artifact, outcome)
    return collection.report


class _Collection:
    """One collection under way: its ledger and its report."""

    def __init__(self, github: GitHub, into: Path, most_bytes: int) -> None:
        self.github = github
        self.into = into
        self.most_bytes = most_bytes
        self.ledger = Ledger.load(into)
        self.report = Collected()

    def wants(self, artifact: Artifact, *, forks: bool) -> bool:
        """Whether to fetch it; where not, the report says why."""
        if artifact.id in self.ledger.done or str(artifact.id) in self.ledger.refused:
            self.report.known += 1
        elif artifact.expired:
            self.report.expired.append(artifact.name)
        elif artifact.fork and not forks:
            self.report.forks += 1
        else:
            return True
        return False

    def downloads(
        self, wanted: list[Artifact], scratch: Path
    ) -> Iterator[tuple[Artifact, Future[Path]]]:
        """Each artifact with its downloaded zip, or what became of it, as they come in."""

        def fetch(artifact: Artifact) -> Path:
            target = scratch / f"{artifact.id}.zip"
            self.github.download(artifact, target, self.most_bytes)
            return target

        pending: dict[Future[Path], Artifact] = {}
        queue = iter(wanted)
        with ThreadPoolExecutor(PARALLEL) as pool:
            try:
                while True:
                    # no more at a time than are being fetched: the disk holds few zips at once
                    while len(pending) < PARALLEL and (artifact := next(queue, None)):
                        pending[pool.submit(fetch, artifact)] = artifact
                    if not pending:
                        return
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        yield pending.pop(future), future
            finally:
                for future in pending:
                    future.cancel()

    def take(self, artifact: Artifact, outcome: "Future[Path]") -> None:
        """Put one artifact's run files in place, and its fate into ledger and report.

        Raises:
            RateLimitedError: it is no use to go on.
        """
        try:
            self._keep(artifact, outcome.result())
            self.ledger.done.add(artifact.id)
        except ExpiredError:
            self.report.expired.append(artifact.name)
        except RateLimitedError:
            raise
        except RefusedArtifactError as error:
            self.report.refused.append((artifact.name, str(error)))
            self.ledger.refused[str(artifact.id)] = str(error)
        except SiteError as error:  # a passing fault: tried again next time
            self.report.refused.append((artifact.name, str(error)))
        self.ledger.save()

    def _keep(self, artifact: Artifact, path: Path) -> None:
        for run, content in list(_runs_of(path, self.most_bytes)):
            if _place(run, content, self.into):
                self.report.new += 1
            origin = Origin.of(artifact, run, self.github.repository)
            self.ledger.runs.setdefault(run.id, origin)
            self.report.conflicts += [(run.id, why) for why in origin.conflicts]
        path.unlink()


def from_folder(zips: Path, into: Path, *, most_bytes: int = MOST_BYTES) -> Collected:
    """Take run files from zips, or single run files, that were downloaded before.

    Raises:
        SiteError: the folder cannot be read.
    """
    into.mkdir(parents=True, exist_ok=True)
    report = Collected()
    try:
        paths = sorted(p for p in zips.iterdir() if p.is_file())
    except OSError as error:
        raise SiteError(f"The folder of zips {zips} cannot be read: {error.strerror}.") from error
    for path in paths:
        try:
            for run, content in list(_runs_of(path, most_bytes)):
                if _place(run, content, into):
                    report.new += 1
                else:
                    report.known += 1
        except RefusedArtifactError as error:
            report.refused.append((path.name, str(error)))
    return report


def _runs_of(path: Path, most: int) -> Iterator[tuple[Run, bytes]]:
    if path.stat().st_size > most:
        raise RefusedArtifactError(f"it has more than {most:,} bytes")
    if not zipfile.is_zipfile(path) and is_run_file(path):
        content = path.read_bytes()
        yield sealed_run(content), content
    else:
        yield from run_files(path, most)


def _place(run: Run, content: bytes, into: Path) -> bool:
    """Write a run file under its own run id; one that is there stays as it is."""
    target = into / f"{run.id}.json"
    if target.exists():
        if target.read_bytes() != content:
            raise RefusedArtifactError(f"another file of run {run.id} is here already")
        return False
    write_run_file(into, run.id, content)
    return True
