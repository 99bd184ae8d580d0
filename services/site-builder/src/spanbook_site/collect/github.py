"""The three calls of GitHub's REST API that collecting needs, within its limits.

Source: GitHub REST API, version 2022-11-28: actions/artifacts, rate limits, and best practices.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from spanbook_site.collect.errors import (
    ExpiredError,
    GitHubError,
    RateLimitedError,
    RefusedArtifactError,
)

PAGE = 100  # the API's most
TRIES = 6
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
CHUNK = 1 << 20
RETRIED = {500, 502, 503, 504}

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
            KeyError, TypeError, ValueError: the item is not as documented.
        """
        run = item.get("workflow_run") or {}
        return cls(
            id=int(item["id"]),
            name=str(item["name"]),
            size=int(item["size_in_bytes"]),
            digest=str(item.get("digest") or ""),
            expired=bool(item["expired"]),
            created_at=str(item.get("created_at") or ""),
            workflow_run=int(run["id"]) if run.get("id") else None,
            branch=str(run.get("head_branch") or ""),
            sha=str(run.get("head_sha") or ""),
            fork=run.get("head_repository_id") != run.get("repository_id"),
        )


class GitHub:
    """The artifacts of one repository; safe to use from several threads.

    ``most_wait`` is how many seconds of rate limit are sat out before giving up.
    """

    def __init__(
        self,
        repository: str,
        token: str,
        *,
        api: str,
        most_wait: float = 900,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.repository = repository
        self._base = f"{api.rstrip('/')}/repos/{repository}/actions/artifacts"
        self._token = token
        self._most_wait = most_wait
        self._sleep = sleep

    def artifacts(self, prefix: str, most: int) -> Iterator[Artifact]:
        """The newest ``most`` artifacts whose name starts with ``prefix``, newest first.

        Raises:
            GitHubError: the API refused, or did not answer as documented.
        """
        found, page = 0, 1
        while True:
            answer = self._get(self._base, params={"per_page": PAGE, "page": page})
            try:
                listed = answer.json()["artifacts"]
                parsed = [Artifact.parse(item) for item in listed]
            except (ValueError, KeyError, TypeError) as error:
                raise GitHubError(
                    f"GitHub's list of artifacts (page {page}) is not as documented: {error!r}."
                ) from error
            for artifact in parsed:
                if artifact.name.startswith(prefix):
                    yield artifact
                    found += 1
                    if found == most:
                        return
            if len(parsed) < PAGE:
                return
            page += 1

    def download(self, artifact: Artifact, target: Path, most: int) -> None:
        """Write an artifact's zip to ``target``.

        Raises:
            ExpiredError: GitHub deleted it in between.
            RefusedArtifactError: it is larger than ``most`` bytes, or not what its digest says.
            GitHubError: the API refused, or went away too often.
        """
        if artifact.size > most:
            raise RefusedArtifactError(
                f"it has {artifact.size:,} bytes, over the limit of {most:,}"
            )
        for attempt in range(1, TRIES + 1):
            try:
                self._download_once(artifact, target, most)
            except (requests.ConnectionError, requests.Timeout, _BrokenOffError) as error:
                if attempt == TRIES:
                    raise GitHubError(f"the download broke off {TRIES} times: {error}") from error
                self._back_off(attempt, f"artifact {artifact.id}: {error}")
            else:
                return

    def _download_once(self, artifact: Artifact, target: Path, most: int) -> None:
        # the redirect leads to another host, for a minute, and must not see the token
        redirect = self._get(f"{self._base}/{artifact.id}/zip", allow_redirects=False)
        if not redirect.is_redirect:
            raise GitHubError(f"GitHub answered {redirect.status_code}, not with a redirect.")
        digest, size = hashlib.sha256(), 0
        with requests.get(redirect.headers["Location"], stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code in {403, 404, 429, *RETRIED}:  # the link is older than its minute
                raise _BrokenOffError(f"the download link answered {answer.status_code}")
            if answer.status_code == requests.codes.gone:
                raise ExpiredError
            if not answer.ok:
                raise GitHubError(f"the download link answered {answer.status_code}.")
            with target.open("wb") as out:
                try:
                    for chunk in answer.iter_content(CHUNK):
                        size += len(chunk)
                        if size > most:
                            raise RefusedArtifactError(
                                f"more than {most:,} bytes came, though it said {artifact.size:,}"
                            )
                        digest.update(chunk)
                        out.write(chunk)
                except requests.exceptions.ChunkedEncodingError as error:
                    raise _BrokenOffError(str(error)) from error
            declared = answer.headers.get("Content-Length")
        if declared is not None and declared.isdigit() and int(declared) != size:
            raise _BrokenOffError(f"{size:,} of {int(declared):,} bytes came")
        if artifact.digest and artifact.digest != f"sha256:{digest.hexdigest()}":
            raise RefusedArtifactError(
                f"its digest is sha256:{digest.hexdigest()}, but GitHub lists {artifact.digest}"
            )

    def _get(self, url: str, **options: Any) -> requests.Response:
        """One API call, tried again on passing faults and rate limits."""
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "spanbook-site",
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        waited = 0.0
        for attempt in range(1, TRIES + 1):
            try:
                answer = requests.get(url, headers=headers, timeout=TIMEOUT, **options)
            except (requests.ConnectionError, requests.Timeout) as error:
                if attempt == TRIES:
                    raise GitHubError(f"GitHub cannot be reached: {error}") from error
                self._back_off(attempt, str(error))
                continue
            limit = _rate_limit(answer)
            if limit is not None:
                waited += limit
                if waited > self._most_wait or attempt == TRIES:
                    raise RateLimitedError(waited)
                logger.warning("GitHub's rate limit: waiting %.0f s.", limit)
                self._sleep(limit)
            elif answer.status_code in RETRIED and attempt < TRIES:
                self._back_off(attempt, f"GitHub answered {answer.status_code}")
            else:
                return self._checked(answer)
        raise AssertionError  # the last try returned or raised

    def _checked(self, answer: requests.Response) -> requests.Response:
        code = answer.status_code
        if code == requests.codes.gone:
            raise ExpiredError
        if code in (401, 403, 404):
            raise GitHubError(
                f"GitHub answered {code} for {self.repository}: the repository is not there, or "
                "its token may not read artifacts. Set GITHUB_TOKEN to one with 'actions: read'."
            )
        if not answer.ok:
            raise GitHubError(f"GitHub answered {code}: {answer.text[:200]}")
        return answer

    def _back_off(self, attempt: int, why: str) -> None:
        seconds = min(30.0, 2.0**attempt) * random.uniform(0.5, 1)  # noqa: S311
        logger.info("%s; trying again in %.1f s.", why, seconds)
        self._sleep(seconds)


class _BrokenOffError(Exception):
    """A download that may be tried again from its start."""


def _rate_limit(answer: requests.Response) -> float | None:
    """Seconds to wait where the answer is a primary or secondary rate limit, else None."""
    if answer.status_code not in (403, 429):
        return None
    if after := answer.headers.get("Retry-After", ""):
        return float(after) if after.isdigit() else 60.0
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = answer.headers.get("X-RateLimit-Reset", "")
        return max(1.0, float(reset) - time.time()) if reset.isdigit() else 60.0
    if (
        answer.status_code == requests.codes.too_many_requests
        or "rate limit" in answer.text.lower()
    ):
        return 60.0  # what GitHub asks for where it names no time
    return None
