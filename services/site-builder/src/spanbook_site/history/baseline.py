"""The newest run of a main branch, to compare another with: from the published site, else from artifacts."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from spanbook_runfile import Run
from spanbook_runfile.paths import RUN_ID

from spanbook_site.collect import http
from spanbook_site.collect.collect import MOST_BYTES, runs_of
from spanbook_site.collect.download import GoneError
from spanbook_site.collect.errors import ExpiredError, GitHubError, RefusedArtifactError
from spanbook_site.collect.github import GitHub
from spanbook_site.errors import SiteError
from spanbook_site.history.published import fetch_index, fetch_verified
from spanbook_site.history.restored import put
from spanbook_site.urls import Urls

MOST_ARTIFACTS = 200  # that are listed
MOST_DOWNLOADS = 5  # of those, for one of the same pipeline


def baseline(
    github: GitHub,
    site: str | None,
    run: Run,
    into: Path,
    *,
    prefix: str,
    main: Iterable[str],
) -> Path | None:
    """The file of the newest main run of ``run``'s pipeline but itself, in ``into``; None without one.

    Raises:
        SiteError: neither the site nor the API could be asked.
    """
    into.mkdir(parents=True, exist_ok=True)
    found = _from_site(site, run, into, github.patience) if site else None
    return found or _from_artifacts(github, run, into, prefix, frozenset(main))


def _from_site(site: str, run: Run, into: Path, patience: http.Patience) -> Path | None:
    site = site if site.endswith("/") else site + "/"
    try:
        raw = fetch_index(site, patience)
    except GitHubError:
        return None  # the artifacts may be there
    for run_id, entry in _newest(raw["runs"] if raw else {}, run):
        target = into / f".{run_id}.part"
        url = urljoin(site, Urls.run_part(run_id, f"{run_id}.json"))
        try:
            fetch_verified(url, target, MOST_BYTES, entry.get("sha256"), patience)
            put(into, run_id, target.read_bytes(), MOST_BYTES, trimmed=False)
            return into / f"{run_id}.json"
        except (GoneError, ExpiredError, RefusedArtifactError):
            continue
        finally:
            target.unlink(missing_ok=True)
    return None


def _newest(runs: Mapping[str, Any], run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    able = [
        (run_id, entry)
        for run_id, entry in runs.items()
        if RUN_ID.fullmatch(run_id)
        and isinstance(entry, dict)
        and entry.get("main") is True
        and not entry.get("trimmed")
        and entry.get("pipeline") == run.pipeline
        and run_id != run.id
    ]
    able.sort(key=lambda item: (str(item[1].get("start", 0)).rjust(20), item[0]), reverse=True)
    yield from able[:MOST_DOWNLOADS]


def _from_artifacts(
    github: GitHub, run: Run, into: Path, prefix: str, main: frozenset[str]
) -> Path | None:
    tried = 0
    for artifact in github.artifacts(prefix, MOST_ARTIFACTS):
        if artifact.fork or artifact.expired or artifact.branch not in main:
            continue
        tried += 1
        if tried > MOST_DOWNLOADS:
            return None
        with tempfile.TemporaryDirectory(prefix="spanbook-baseline-") as scratch:
            target = Path(scratch) / "artifact.zip"
            try:
                github.download(artifact, target, MOST_BYTES)
                for found, content in runs_of(target, MOST_BYTES):
                    if found.pipeline == run.pipeline and found.id != run.id:
                        put(into, found.id, content, MOST_BYTES, trimmed=False)
                        return into / f"{found.id}.json"
            except (RefusedArtifactError, ExpiredError):
                continue
    return None


def site_of(github: GitHub, configured: str) -> str | None:
    """Where the site is published: as the settings say, else as GitHub says; None where nowhere.

    Raises:
        SiteError: GitHub does not tell, and the settings do not either.
    """
    if configured:
        return configured
    try:
        return github.pages_url()
    except GitHubError as error:
        raise SiteError(
            f"Where the site is published could not be asked ({error}). Say it in spanbook.yaml "
            "(url: https://…), or give the token 'pages: read'."
        ) from error


__all__ = ["baseline", "site_of"]
