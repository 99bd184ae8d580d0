"""A second GitHub, made from its public documentation alone, to hold what collects against.

Two servers, as GitHub has two: an Enterprise Server's API below ``/api/v3`` (REST API docs: actions/artifacts,
pagination, rate limits, conditional requests), and a blob store whose signed links last a while and which
refuses a request that bears another credential (Azure Storage docs: Get Blob, ranges, shared access signatures).

With ``odd`` both keep to the same documents by other habits: lower-case names of headers, packed bodies in chunks,
strong ETags, links in another form and without a last one, and redirects of every kind, to relative addresses too.
"""

import gzip
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghs_example"
OWNER, NAME = "hubot", "Space-Ship"
HOME = 1296269  # the repository's id


@dataclass
class Stored:
    """An artifact; ``more`` replaces what the API lists of it, and a None there removes the key."""

    id: int
    name: str
    content: bytes
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 302  # of its download link: 410 once it is deleted

    def listed(self, api: str) -> dict[str, Any]:
        """As documented, with all that we do not need too."""
        url = f"{api}/repos/{OWNER}/{NAME}/actions/artifacts/{self.id}"
        item = {
            "id": self.id,
            "node_id": "MDg6QXJ0aWZhY3Q=",
            "name": self.name,
            "size_in_bytes": len(self.content),
            "url": url,
            "archive_download_url": f"{url}/zip",
            "expired": False,
            "created_at": f"2026-10-{self.id % 28 + 1:02}T00:00:00Z",
            "expires_at": "2027-01-21T00:00:00Z",
            "updated_at": "2026-10-21T00:00:00Z",
            "digest": "sha256:" + hashlib.sha256(self.content).hexdigest(),
            "workflow_run": {
                "id": 2332938 + self.id,
                "repository_id": HOME,
                "head_repository_id": HOME,
                "head_branch": "main",
                "head_sha": "328faa0536e6fef19753d9d91dc96a9931694ce3",
            },
        } | self.more
        return {key: value for key, value in item.items() if value != "absent"}


@dataclass
class Octo:
    """State and behaviour of both servers.

    ``troubles`` are taken in turn by API calls (None is none), ``breaks`` by blob downloads: each is the number of
    bytes after which the connection ends.
    """

    stored: list[Stored] = field(default_factory=list)
    troubles: deque[Callable[["_Handler"], None] | None] = field(default_factory=deque)
    breaks: deque[int] = field(default_factory=deque)
    page_cap: int = 1000  # pages beyond it are 422
    ranges: bool = True
    odd: bool = False
    past: int = 403  # the blob store's answer to a link that is over
    lasts: deque[float] = field(
        default_factory=deque
    )  # seconds that links last, in turn; then a minute
    busy: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)  # blob store's, in turn
    on_page: Callable[[int], None] = lambda _: None  # called before a page is answered
    count: Callable[[int], int] = lambda there: there  # the total that is told
    anonymous: bool = False  # anybody may list a public repository; nobody may download from it
    seen: Counter[str] = field(default_factory=Counter)
    sent: int = 0  # bytes of blobs
    wrong: list[str] = field(default_factory=list)  # what no client should do

    def __enter__(self) -> "Octo":
        self.servers = []
        for kind in (_Api, _Blobs):
            handler = type("Handler", (kind,), {"octo": self})
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True  # connections are kept alive
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers.append(server)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    @property
    def api(self) -> str:
        """What GITHUB_API_URL is on such a server."""
        return f"http://127.0.0.1:{self.servers[0].server_address[1]}/api/v3"

    @property
    def blobs(self) -> str:
        """The blob store."""
        return f"http://127.0.0.1:{self.servers[1].server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    octo: Octo

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def say(self, code: int, body: object = None, **headers: str) -> None:
        """An answer; ``_`` in a header's name is a hyphen."""
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        if code in (204, 304):
            content = b""
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if self.octo.odd and content:
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                self.send_header("Content-Encoding", "gzip")
                content = gzip.compress(content)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (content[:10], content[10:]):
                if part:
                    self.wfile.write(f"{len(part):x};by=us\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\nx-trailer: 1\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_header(self, keyword: str, value: str) -> None:
        """Names of headers mean the same in any case."""
        super().send_header(keyword.lower() if self.octo.odd else keyword, value)

    def reset(self) -> None:
        """Let the connection end with a RST, as a crash does."""
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True


class _Api(_Handler):
    def do_GET(self) -> None:
        octo = self.octo
        url = urlsplit(self.path)
        trouble = octo.troubles.popleft() if octo.troubles else None
        if trouble:
            trouble(self)
            return
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        top = f"/api/v3/repos/{OWNER}/{NAME}/actions/artifacts"
        path = url.path.replace(f"/repositories/{HOME}/", f"/repos/{OWNER}/{NAME}/")
        if not self.headers.get("User-Agent"):
            self.say(403, {"message": "Request forbidden by administrative rules."})
        elif "Authorization" in self.headers and not known:
            self.say(401, {"message": "Bad credentials"})
        elif octo.odd and (kinds := _AWAY.get(url.path.split("/")[3])):
            # by way of another address, and of another: 301 for good, 302 and 307 for a time, 308 like 301
            code, there = kinds
            moved = self.path.replace(f"/repos/{OWNER}/{NAME}/", f"/{there}/{HOME}/")
            moved = moved.replace("/organizations/", f"/{there}/")
            self.say(code, {"message": "Moved"}, Location=moved)
        elif path == top and (known or octo.anonymous):
            self.list(parse_qs(url.query))
        elif (found := re.fullmatch(rf"{top}/(\d+)/zip", path)) and not known:
            self.say(401, {"message": "You must have the actions scope to download artifacts."})
        elif found:
            self.redirect(int(found[1]))
        else:
            self.say(404, {"message": "Not Found"})

    def list(self, query: dict[str, list[str]]) -> None:
        """One page: 30 unless asked for more, never more than 100."""
        size = min(int(query.get("per_page", ["30"])[0]), 100)
        number = int(query.get("page", ["1"])[0])
        self.octo.on_page(number)
        if number > self.octo.page_cap:
            self.say(
                422,
                {"message": "In order to keep the API fast for everyone, pagination is limited."},
            )
            return
        every = self.octo.stored
        page = [s.listed(self.octo.api) for s in every[(number - 1) * size : number * size]]
        told = {"total_count": self.octo.count(len(every)), "artifacts": page}
        body = json.dumps(told).encode()
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if not self.octo.odd:
            etag = f"W/{etag}"
        last = -(-len(every) // size)
        rels = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
        if number >= last:
            del rels["next"], rels["last"]
        if number == 1:
            del rels["prev"], rels["first"]
        here = f"{self.octo.api}/repositories/{HOME}/actions/artifacts"
        link = ", ".join(
            f'<{here}?per_page={size}&page={n}>; rel="{rel}"' for rel, n in rels.items()
        )
        if self.octo.odd:
            link = (
                f'<?page={number + 1}&per_page={size}>; title="a, b"; rel=next'
                if "next" in rels
                else ""
            )
        headers = {"ETag": etag, **({"Link": link} if link else {})}
        if self.headers.get("If-None-Match") == etag:
            self.octo.seen["304"] += 1
            self.say(304, **headers)
        else:
            self.say(200, body, **headers)

    def redirect(self, number: int) -> None:
        """302 to a link that lasts a minute."""
        found = [s for s in self.octo.stored if s.id == number]
        if not found or found[0].status == 404:
            self.say(404, {"message": "Not Found"})
        elif found[0].status == 410:
            self.say(410, {"message": "Artifact has expired"})
        else:
            until = time.time() + (self.octo.lasts.popleft() if self.octo.lasts else 60)
            link = f"{self.octo.blobs}/results/{number}?se={until}&sig=abc%2Fdef%3D"
            self.say(307 if self.octo.odd else 302, b"", Location=link)


class _Blobs(_Handler):
    def do_GET(self) -> None:
        octo = self.octo
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "Authorization" in self.headers:
            octo.wrong.append("the blob store was shown a credential")
            self.say(401, b"<Error><Code>InvalidAuthenticationInfo</Code></Error>")
            return
        if query.get("sig") != ["abc/def="] or float(query["se"][0]) < time.time():
            octo.seen["past"] += 1
            self.say(octo.past, b"<Error><Code>AuthenticationFailed</Code></Error>")
            return
        if octo.busy:
            code, headers = octo.busy.popleft()
            self.say(code, b"<Error><Code>ServerBusy</Code></Error>", **headers)
            return
        content = next(s.content for s in octo.stored if s.id == int(url.path.split("/")[-1]))
        etag = f'"0x{hashlib.md5(content).hexdigest()[:15].upper()}"'
        start, code = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and octo.ranges and self.headers.get("If-Range", etag) == etag:
            start, code = int(asked[1]), 206
            if start >= len(content):
                self.say(416, b"<Error><Code>InvalidRange</Code></Error>")
                return
            octo.seen["206"] += 1
        self.send_response(code)
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", "application/zip")
        self.end_headers()
        end = len(content)
        if octo.breaks:
            end = min(end, start + octo.breaks.popleft())
        octo.sent += end - start
        self.wfile.write(content[start:end])
        self.close_connection = end < len(content)


_AWAY = {  # the odd one's detours, by what the path begins with
    "repos": (307, "organizations"),
    "organizations": (302, "repositories"),
}


def answers(code: int, message: str = "no", **headers: str) -> Callable[[_Handler], None]:
    """A trouble: the API answers so."""
    return lambda handler: handler.say(code, {"message": message}, **headers)


def says(content: bytes, **headers: str) -> Callable[[_Handler], None]:
    """A trouble: 200 with such a body."""
    return lambda handler: handler.say(200, content, **headers)


def primary_limit(seconds: float) -> Callable[[_Handler], None]:
    """A trouble: no request is left until then."""
    reset = str(int(time.time() + seconds))
    limit = {"x_ratelimit_limit": "1000", "x_ratelimit_remaining": "0", "x_ratelimit_reset": reset}
    return lambda handler: handler.say(
        403, {"message": "API rate limit exceeded for installation ID 1."}, **limit
    )


def breaks_off(handler: _Handler) -> None:
    """A trouble: half a list, then the connection is reset."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"total_count": 1, "artifacts": [')
    handler.reset()
