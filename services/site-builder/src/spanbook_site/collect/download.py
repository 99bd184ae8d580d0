"""Downloads that bear no credentials, go on where they broke off, and are hashed as they come."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from spanbook_site.collect import http
from spanbook_site.collect.errors import ExpiredError, GitHubError, RefusedArtifactError

CHUNK = 1 << 16  # bytes: what is lost at most where a download breaks off
RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
PAST_ITS_MINUTE = (400, 401, 403)  # what stores answer to a signature that is over
NOTHING_LEFT = requests.codes.requested_range_not_satisfiable


class GoneError(Exception):
    """404: it is not there."""


@dataclass(frozen=True)
class Downloaded:
    """A file that came: its SHA-256 in hex, and its bytes."""

    sha256: str
    size: int


@dataclass
class Download:
    """One file, whose next try goes on where the last broke off if the host still has the same.

    A file is the same by its strong ETag (RFC 9110, 13.1.5); without one each try starts anew.
    ``most`` bounds its bytes.
    """

    target: Path
    most: int
    came: int = 0
    etag: str = ""

    def fetch(self, url: str) -> Downloaded:
        """Stream a URL to the file, once, without credentials.

        Raises:
            http.BrokenOffError, http.LimitedError, requests.RequestException: it may be tried again.
            GoneError: 404.
            ExpiredError: 410.
            RefusedArtifactError: more than ``most`` bytes came.
            GitHubError: another answer.
        """
        with requests.get(
            url,
            stream=True,
            timeout=http.TIMEOUT,
            headers={**http.AGENT, **self._condition()},
            auth=http.Bearer(),
        ) as answer:
            return self.take(answer)

    def take(self, answer: requests.Response) -> Downloaded:
        """Stream an answer to the file.

        Raises:
            As ``fetch``.
        """
        if answer.status_code == NOTHING_LEFT:
            self.came = 0
        _check(answer)
        start = self._start(answer)
        if not start:
            self.etag = _strong(answer.headers)
        digest, self.came = _digest(self.target, start), start
        with self.target.open("r+b" if start else "wb") as out:
            out.seek(start)
            out.truncate()
            for chunk in answer.iter_content(CHUNK):
                self.came += len(chunk)
                if self.came > self.most:
                    raise RefusedArtifactError(f"more than {self.most:,} bytes came")
                digest.update(chunk)
                out.write(chunk)
        declared = answer.headers.get("Content-Length", "")
        if declared.isdigit() and not _packed(answer) and int(declared) != self.came - start:
            raise http.BrokenOffError(f"{self.came - start:,} of {int(declared):,} bytes came")
        size, self.came = self.came, 0  # whole: were it wrong, the next try would start anew
        return Downloaded(digest.hexdigest(), size)

    def _condition(self) -> Mapping[str, str]:
        if not (self.came and self.etag):
            return {}
        return {
            "Range": f"bytes={self.came}-",
            "If-Range": self.etag,
            "Accept-Encoding": "identity",  # a range is of what is sent
        }

    def _start(self, answer: requests.Response) -> int:
        """The byte that the answer starts at.

        Raises:
            BrokenOffError: at none that fits to what is here.
        """
        if answer.status_code != requests.codes.partial_content:
            return 0
        found = RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        same = not (etag := answer.headers.get("ETag")) or etag == self.etag
        if not (found and same and 0 < int(found[1]) <= self.came) or _packed(answer):
            self.came = 0
            raise http.BrokenOffError("the rest that came is not of what was here")
        return int(found[1])


def _check(answer: requests.Response) -> None:
    http.check_asked_wait(answer)
    code = answer.status_code
    if http.passing(code) or code in (requests.codes.too_many_requests, NOTHING_LEFT):
        raise http.BrokenOffError(f"it answered {code}")
    if code == requests.codes.not_found:
        raise GoneError
    if code == requests.codes.gone:
        raise ExpiredError
    if code in PAST_ITS_MINUTE:
        raise http.BrokenOffError(f"it answered {code}")
    if code not in (requests.codes.ok, requests.codes.partial_content):
        raise GitHubError(f"The download answered {code}.")


def _digest(path: Path, size: int) -> "hashlib._Hash":
    """The hash of a file's first bytes."""
    digest = hashlib.sha256()
    if size:
        with path.open("rb") as stream:
            while size and (chunk := stream.read(min(size, CHUNK))):
                digest.update(chunk)
                size -= len(chunk)
    return digest


def _strong(headers: Mapping[str, str]) -> str:
    """The ETag that a range can rely on; empty without one."""
    etag = headers.get("ETag", "")
    return "" if etag.startswith("W/") or headers.get("Content-Encoding") else etag


def _packed(answer: requests.Response) -> bool:
    return answer.headers.get("Content-Encoding", "identity") != "identity"


__all__ = ["Download", "Downloaded", "GoneError"]
