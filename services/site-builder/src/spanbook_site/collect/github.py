"""The calls of GitHub's REST API that collecting needs, within its limits.

Source: GitHub REST API, version 2022-11-28: actions/artifacts, pages, pagination, rate limits, and
best practices.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from spanbook_site.collect import http
from spanbook_site.collect.download import Download, GoneError
from spanbook_site.collect.errors import (
    BeyondError,
    DeniedError,
    ExpiredError,
    GitHubError,
    RefusedArtifactError,
)
from spanbook_site.collect.listing import Listing, Page

PAGE = 100  # the API's most
MOST_PAGES = 1000
MOST_MOVES = 5
MOVED = (301, 302, 307, 308)  # a repository that was renamed
READINGS = 2  # of a list that moves meanwhile
TRIES_OF_A_DIGEST = 2
HEADERS = {
    **http.AGENT,
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A build artifact as listed; ``size`` in bytes, ``digest`` is ``sha256:…`` of the zip."""

    id: int
    name: str
    size: int
    digest: str
    expired: bool
    created_at: str
    workflow_run: int | None
    branch: str
    sha: str
    fork: bool

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> "Artifact":
        """One item of the API's list.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the item is not as documented.
        """
        run = item.get("workflow_run") or {}
        own = run.get("repository_id")
        return cls(
            id=int(item["id"]),
            name=str(item["name"]),
            size=int(item.get("size_in_bytes") or 0),
            digest=str(item.get("digest") or "").lower(),
            expired=bool(item.get("expired")),
            created_at=str(item.get("created_at") or ""),
            workflow_run=int(run["id"]) if run.get("id") else None,
            branch=str(run.get("head_branch") or ""),
            sha=str(run.get("head_sha") or ""),
            # where GitHub does not say whose it is, nothing says that it is ours
            fork=bool(run) and not (own and run.get("head_repository_id") == own),
        )


class GitHub:
    """The artifacts of one repository; safe to use from several threads.

    ``most_wait`` is how many seconds of rate limit are sat out before giving up; ``listing``
    remembers pages of the list, so that asking again for one that did not change costs nothing.
    """

    def __init__(
        self,
        repository: str,
        token: str,
        *,
        api: str,
        most_wait: float = 900,
        sleep: Callable[[float], None] = time.sleep,
        listing: Listing | None = None,
    ) -> None:
        self.repository = repository
        self.api = api.rstrip("/")
        self._base = f"{self.api}/repos/{repository}"
        self._auth = http.Bearer(token)
        self._patience = http.Patience(most_wait, sleep)
        self._listing = listing or Listing()

    @property
    def patience(self) -> http.Patience:
        """What holds its requests back."""
        return self._patience

    def artifacts(self, prefix: str, most: int) -> Iterator[Artifact]:
        """The newest ``most`` artifacts whose name starts with ``prefix``, newest first.

        Raises:
            GitHubError: the API refused, or did not answer as documented.
        """
        seen: set[int] = set()  # a new artifact moves the others on to the next page meanwhile
        wrong: set[str] = set()
        listed = 0
        for _ in range(READINGS):
            most_told, fell = 0, False
            for page in self._pages():
                fell = fell or page.total < most_told
                most_told = max(most_told, page.total)
                for item in page.items:
                    try:
                        artifact = Artifact.parse(item)
                    except (ValueError, KeyError, TypeError, AttributeError) as error:
                        _warn_once(f"An artifact is listed not as documented: {error!r}", wrong)
                        continue
                    if artifact.id not in seen and artifact.name.startswith(prefix):
                        seen.add(artifact.id)
                        yield artifact
                        listed += 1
                        if listed == most:
                            return
            if not fell:  # where one went meanwhile, others moved to a page already read
                break

    def _pages(self) -> Iterator[Page]:
        """The list's pages: by the Link header, else by number until one has no more."""
        first = f"{self._base}/actions/artifacts?per_page={PAGE}"
        url, items = f"{first}&page=1", 0
        asked = set()
        for number in range(2, MOST_PAGES + 2):
            asked.add(url)
            try:
                page = self._page(url)
            except BeyondError:
                if not items:
                    raise
                break
            yield page
            items += len(page.items)
            following = urljoin(url, page.following) if page.following else ""
            if not following and (page.linked or not page.items or page.is_last(items, PAGE)):
                return
            # the token goes to the API's own host only, whatever the header says
            own = http.same_host(following, self.api)
            url = following if own else f"{first}&page={number}"
            if url in asked:
                break
        logger.warning("Of GitHub's list of artifacts only the first %s were read.", f"{items:,}")

    def _page(self, url: str) -> Page:
        known = self._listing.get(url)

        def once() -> Page:
            answer = self._get(url, {"If-None-Match": known.etag} if known else {})
            if answer.status_code == requests.codes.not_modified and known:
                return known
            self._check(answer)
            try:
                return Page.parse(answer.json(), answer.links, answer.headers)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # such as half of it
                raise http.BrokenOffError(f"it is not as documented: {error!r}") from error

        page = self._patience.tried("GitHub's list of artifacts", once)
        self._listing.remember(url, page)
        return page

    def download(self, artifact: Artifact, target: Path, most: int) -> None:
        """Write an artifact's zip to ``target``.

        Raises:
            ExpiredError: GitHub deleted it in between.
            RefusedArtifactError: it is larger than ``most`` bytes.
            GitHubError: the API refused, went away too often, or what came is not what its
                digest says.
        """
        if artifact.size > most:
            raise RefusedArtifactError(
                f"it has {artifact.size:,} bytes, over the limit of {most:,}"
            )
        wrong = 0
        download = Download(target, most)

        def once() -> None:
            nonlocal wrong
            came = self._download_once(artifact, download)
            if not artifact.digest.startswith("sha256:") or artifact.digest == "sha256:" + came:
                return
            wrong += 1
            told = f"what came has its digest sha256:{came}, but GitHub lists {artifact.digest}"
            if wrong == TRIES_OF_A_DIGEST:
                raise GitHubError(told)
            raise http.BrokenOffError(told)

        self._patience.tried(f"the download of artifact {artifact.id}", once)

    def _download_once(self, artifact: Artifact, download: Download) -> str:
        # the redirect leads to another host, for a minute, and must not see the token
        url = f"{self._base}/actions/artifacts/{artifact.id}/zip"
        with self._get(url, {}, stream=True) as answer:
            if answer.status_code in (requests.codes.gone, requests.codes.not_found):
                raise ExpiredError
            self._check(answer)
            if answer.status_code == requests.codes.ok:  # a server, or a proxy, that needs no other
                return download.take(answer).sha256
            if not answer.is_redirect:
                raise GitHubError(f"GitHub answered {answer.status_code}, not with a redirect.")
            link = _target(answer)
        try:
            return download.fetch(link).sha256
        except GoneError as error:
            raise http.BrokenOffError("the download link answered 404") from error

    def pages_url(self) -> str | None:
        """Where GitHub Pages serves the repository's site; None where there is none.

        Raises:
            GitHubError: the API refused, as where the token may not read it.
        """
        answer = self._get(f"{self._base}/pages", {})
        if answer.status_code == requests.codes.not_found:
            return None
        self._check(answer)
        try:
            return str(answer.json()["html_url"])
        except (ValueError, KeyError, TypeError) as error:
            raise GitHubError(
                f"GitHub's answer on Pages is not as documented: {error!r}."
            ) from error

    def _get(
        self, url: str, headers: Mapping[str, str], *, stream: bool = False
    ) -> requests.Response:
        """One API call; the token goes to the API's own host only, also where a repository moved.

        ``stream`` is for downloads: a redirect that leads to no other call is the answer.
        """
        for _ in range(MOST_MOVES):
            answer = self._within_limits(url, headers, stream=stream)
            if answer.status_code not in MOVED:
                return answer
            moved = _target(answer)
            ours = http.same_host(moved, self.api)
            if stream and not (ours and _call(moved) == _call(url)):
                return answer
            if not ours:
                raise GitHubError(f"GitHub's API redirects to another host: {moved}.")
            url = moved
        raise GitHubError(f"GitHub's API redirects more than {MOST_MOVES} times.")

    def _within_limits(
        self, url: str, headers: Mapping[str, str], *, stream: bool
    ) -> requests.Response:
        def once() -> requests.Response:
            answer = requests.get(
                url,
                headers={**HEADERS, **headers},
                auth=self._auth,
                timeout=http.TIMEOUT,
                allow_redirects=False,
                stream=stream,
            )
            http.check_rate_limit(answer)
            if http.passing(answer.status_code):
                raise http.BrokenOffError(f"GitHub answered {answer.status_code}")
            return answer

        return self._patience.tried("a call of GitHub's API", once)

    def _check(self, answer: requests.Response) -> None:
        code = answer.status_code
        if code in (401, 403, 404):
            denied = DeniedError if code == requests.codes.unauthorized else GitHubError
            raise denied(
                f"GitHub answered {code} for {self.repository}: the repository is not there, or "
                "its token may not read artifacts. Set GITHUB_TOKEN to one with 'actions: read'."
            )
        if code == requests.codes.unprocessable_entity:
            raise BeyondError(f"GitHub answered 422: {answer.text[:200]}")
        if code >= requests.codes.bad_request:
            raise GitHubError(f"GitHub answered {code}: {answer.text[:200]}")


def _target(answer: requests.Response) -> str:
    """Where a redirect leads.

    Raises:
        GitHubError: nowhere.
    """
    location = answer.headers.get("Location", "")
    try:
        return urljoin(answer.url, location)
    except ValueError as error:
        raise GitHubError(
            f"GitHub redirects to {location[:200]!r}, which is no address."
        ) from error


def _call(url: str) -> list[str]:
    """The call that an address means, whatever the repository is called there."""
    return urlsplit(url).path.split("/")[-4:]


def _warn_once(told: str, before: set[str]) -> None:
    if told not in before:
        before.add(told)
        logger.warning("%s", told)
