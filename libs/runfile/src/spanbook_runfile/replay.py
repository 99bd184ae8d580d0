"""A run file, sent again to any OTLP endpoint over HTTP."""

import gzip
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from spanbook_runfile.decode import load
from spanbook_runfile.errors import ReplayError
from spanbook_runfile.export import SECTIONS, requests

RETRIED = {429, 502, 503, 504}  # OTLP/HTTP: the only answers after which a client tries again
TRIES = 5
TIMEOUT = 30.0  # seconds
_MOST_WAIT = 60.0  # seconds, whatever Retry-After says


def replay(
    path: Path, endpoint: str, headers: Mapping[str, str] | None = None
) -> dict[str, tuple[int, int]]:
    """Send a run file to ``endpoint`` (such as ``http://127.0.0.1:4318``) as OTLP JSON, gzipped.

    Returns:
        Signal → how many spans, log records or metrics were sent, and how many of their parts the
        other end rejected.

    Raises:
        ReplayError: the endpoint is no http(s) address, cannot be reached or refuses a request.
        NotARunFileError: the file is none.
    """
    address = urllib.parse.urlsplit(endpoint)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ReplayError(
            f"{endpoint!r} is no OTLP/HTTP address. Give one such as http://127.0.0.1:4318; "
            "gRPC (usually port 4317) is not spoken here."
        )
    whole = load(path.read_bytes(), name=path.name)
    sent = {}
    for section in SECTIONS.values():
        url = f"{endpoint.rstrip('/')}/v1/{section.name}"
        total = rejected = 0
        for content, count in requests(whole, section):
            rejected += _rejected(_post(url, content, headers or {}))
            total += count
        sent[section.name] = (total, rejected)
    return sent


def headers_from_environment() -> dict[str, str]:
    """The headers that ``OTEL_EXPORTER_OTLP_HEADERS`` asks for (``key=value,key=value``)."""
    pairs = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")
    split = (pair.partition("=") for pair in pairs if "=" in pair)
    return {key.strip(): urllib.parse.unquote(value.strip()) for key, _, value in split}


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like others: what follows one sends no body, and headers anywhere."""

    def redirect_request(self, *_: Any) -> None:
        """Go nowhere."""


_OPENER = urllib.request.build_opener(_StayHere)


def _post(url: str, content: bytes, headers: Mapping[str, str]) -> bytes:
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url,
        data=gzip.compress(content, 1),
        headers={
            **headers,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": "spanbook-replay",
        },
    )
    told = ""
    for number in range(TRIES):
        wait = 0.5 * 2**number
        try:
            with _OPENER.open(request, timeout=TIMEOUT) as answer:
                body: bytes = answer.read(1 << 20)
                return body
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(1000).decode("utf-8", "replace")
            if error.code not in RETRIED:
                raise ReplayError(f"{url} answered {error.code}: {said}") from error
            told = f"answered {error.code}: {said}"
            wait = _retry_after(error.headers.get("Retry-After"), wait)
        except (OSError, http.client.HTTPException) as error:
            told = f"cannot be reached ({getattr(error, 'reason', None) or error})"
        if number < TRIES - 1:
            time.sleep(wait)
    raise ReplayError(f"{url} {told}. It was tried {TRIES} times; is an OTLP/HTTP receiver there?")


def _retry_after(value: str | None, default: float) -> float:
    try:
        return min(float(value or default), _MOST_WAIT)
    except ValueError:  # a date
        return default


def _rejected(answer: bytes) -> int:
    """How many items the other end says that it rejected; answers that say nothing took all."""
    try:
        partial = orjson.loads(answer or b"{}").get("partialSuccess") or {}
        return sum(int(v) for k, v in partial.items() if k.startswith("rejected"))
    except (ValueError, AttributeError, TypeError):
        return 0
