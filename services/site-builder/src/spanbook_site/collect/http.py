"""GET requests that survive passing faults and sit out rate limits."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from spanbook_site.collect.errors import GitHubError, RateLimitedError

TRIES = 6
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
FAULTS = (  # of the connection: the next may fare better
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
WITHOUT_A_TIME = 60.0  # seconds: what GitHub asks for where it names none
LIMIT_WORDS = ("rate limit", "abuse detection")
AGENT = {"User-Agent": "spanbook-site"}
Made = TypeVar("Made")

logger = logging.getLogger(__name__)


class BrokenOffError(Exception):
    """It may be tried again from its start."""


class LimitedError(Exception):
    """The server asks for so many seconds of patience."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it asks for {seconds:,.0f} s of waiting")
        self.seconds = seconds


class Bearer(AuthBase):
    """Sends the token, or nothing; with either, ``requests`` leaves ``.netrc`` alone."""

    def __init__(self, token: str = "") -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with its header."""
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Patience:
    """When the next request may go out, for all threads; ``most_wait`` bounds the seconds waited in all."""

    def __init__(self, most_wait: float = 900, sleep: Callable[[float], None] = time.sleep) -> None:
        self.most_wait = most_wait
        self._sleep = sleep
        self._waited = 0.0
        self._over = -math.inf  # when the last wait ended, of the monotonic clock
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Hold while another thread sits out a rate limit."""
        with self._lock:
            pass

    def sit_out(self, seconds: float) -> None:
        """Hold all threads for a rate limit; what another waits meanwhile counts for all.

        Raises:
            RateLimitedError: that would be longer than we were told to wait.
        """
        asked = time.monotonic()
        with self._lock:
            seconds -= max(0.0, self._over - asked)
            if seconds <= 0:
                return
            self._waited += seconds
            if self._waited > self.most_wait:
                raise RateLimitedError(seconds)
            logger.warning("GitHub's rate limit: waiting %.0f s.", seconds)
            self._sleep(seconds)
            self._over = time.monotonic()

    def back_off(self, attempt: int, why: object) -> None:
        """Wait a little longer each time, not in step with others."""
        seconds = min(30.0, 2.0**attempt) * random.uniform(0.25, 0.5)  # noqa: S311
        logger.info("%s; trying again in %.1f s.", why, seconds)
        self._sleep(seconds)

    def tried(self, what: str, once: Callable[[], Made]) -> Made:
        """The outcome of ``once``, called again as long as the fault may pass.

        Raises:
            GitHubError: it did not pass.
            RateLimitedError: it would, but later than we were told to wait.
        """
        faults = 0
        while True:
            self.wait()
            try:
                return once()
            except LimitedError as limit:  # no fault: only what is waited in all bounds it
                self.sit_out(limit.seconds)
            except (*FAULTS, BrokenOffError) as error:
                faults += 1
                if faults == TRIES:
                    raise GitHubError(f"{what} failed {TRIES} times: {error}") from error
                self.back_off(faults, f"{what}: {error}")
            except (requests.RequestException, ValueError) as error:  # an address that is none
                raise GitHubError(f"{what} failed: {error}") from error


def check_asked_wait(answer: requests.Response) -> None:
    """Heed a ``Retry-After``, which any server may send where it is too busy (RFC 9110, 10.2.3).

    Raises:
        LimitedError: it asks for a wait.
    """
    after = answer.headers.get("Retry-After", "").strip()
    if answer.status_code in (403, 429, 503) and after:
        raise LimitedError(_seconds(after))


def check_rate_limit(answer: requests.Response) -> None:
    """Heed GitHub's primary and secondary rate limits.

    Source: GitHub's docs, "Rate limits for the REST API": ``Retry-After`` first, then
    ``X-RateLimit-Reset`` where nothing remains, else at least a minute.

    Raises:
        LimitedError: the answer is one.
    """
    check_asked_wait(answer)
    if answer.status_code not in (403, 429):
        return
    if answer.headers.get("X-RateLimit-Remaining", "").strip() == "0":
        reset = answer.headers.get("X-RateLimit-Reset", "").strip()
        raise LimitedError(
            max(1.0, float(reset) - time.time() + 1) if reset.isdigit() else WITHOUT_A_TIME
        )
    told = answer.text[:10_000].lower()
    if answer.status_code == 429 or any(words in told for words in LIMIT_WORDS):
        raise LimitedError(WITHOUT_A_TIME)


def passing(code: int) -> bool:
    """Whether an answer of this status may be another one the next time."""
    return code == 408 or code >= 500


def _seconds(after: str) -> float:
    if after.isdigit():
        return max(1.0, float(after))  # "0" is no leave to ask without end
    try:
        return max(1.0, parsedate_to_datetime(after).timestamp() - time.time())
    except (ValueError, TypeError):
        return WITHOUT_A_TIME


def same_host(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port: what one may see, the other may."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no address
        return url, None, -1
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)
