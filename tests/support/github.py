"""A GitHub API server that follows the documented behaviour, on two addresses of this machine.

The API answers on ``127.0.0.1``; downloads are redirected to ``localhost``, another host by name,
which must not see the token.
"""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "octo/digits"
OURS, THEIRS = 1, 2  # repository ids


def zipped(**files: bytes) -> bytes:
    """A zip of files by name; ``__`` in a name stands for a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


@dataclass
class FakeArtifact:
    """One artifact, and what goes wrong with it."""

    id: int
    name: str
    content: bytes = b""
    expired: bool = False
    gone: bool = False  # listed, but deleted since: 410
    fork: bool = False
    run: int = 0  # the workflow run that uploaded it
    orphan: bool = False  # of a workflow run that is gone
    branch: str = "main"
    sha: str = "c0ffee" * 6 + "c0ff"
    digest: str | None = None
    breaks_off: int = 0  # so many downloads end half-way
    size: int | None = None

    def listed(self) -> dict[str, Any]:
        """As the API lists it."""
        return {
            "id": self.id,
            "name": self.name,
            "size_in_bytes": len(self.content) if self.size is None else self.size,
            "expired": self.expired,
            "created_at": "2026-11-01T00:00:00Z",
            "digest": self.digest or "sha256:" + hashlib.sha256(self.content).hexdigest(),
            "workflow_run": None
            if self.orphan
            else {
                "id": self.run or 1000 + self.id,
                "repository_id": OURS,
                "head_repository_id": THEIRS if self.fork else OURS,
                "head_branch": self.branch,
                "head_sha": self.sha,
            },
        }


@dataclass
class FakeGitHub:
    """The server's state; ``faults`` are answers given before any other, in order."""

    artifacts: list[FakeArtifact] = field(default_factory=list)
    faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)  # of each request, in order
    links: bool = True  # whether lists have a Link header, as GitHub's do
    page_size: int = 100  # the most a page holds, whatever is asked for
    public: bool = False  # anybody may list, nobody download without a token
    moved: bool = False  # the repository was renamed: 301 to its address by number
    pages: str = ""  # where its site is published
    circle: bool = False  # whether the Link header's next page is the one that bears it
    next_host: str = ""  # where the Link header leads astray
    on_page: Callable[[int], None] = lambda _: None  # called before a page is answered
    leaked: list[str] = field(default_factory=list)  # tokens seen by the download host
    downloads: int = 0

    def __enter__(self) -> "FakeGitHub":
        handler = type("Handler", (_Handler,), {"state": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    @property
    def api(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    state: FakeGitHub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.state.requests.append(self.path)
        self.state.headers.append(dict(self.headers.items()))
        url = urlsplit(self.path)
        if url.path.startswith("/blob/"):
            self._blob(int(url.path.rpartition("/")[2]))
            return
        if self.state.faults:
            code, headers = self.state.faults.pop(0)
            self._answer(code, b'{"message": "no"}', headers)
            return
        lists = url.path.endswith("/actions/artifacts")
        if self.headers.get("Authorization") != "Bearer secret" and not (
            self.state.public and lists
        ):
            self._answer(401, b'{"message": "Bad credentials"}')
            return
        top = f"/repos/{REPOSITORY}"
        if self.state.moved:
            if url.path.startswith(top):
                self._answer(
                    301, b"{}", {"Location": self.path.replace(top, f"/repositories/{OURS}")}
                )
                return
            top = f"/repositories/{OURS}"
        routes: dict[str, Callable[[], None]] = {
            f"{top}/actions/artifacts": lambda: self._list(parse_qs(url.query)),
            f"{top}/pages": self._pages,
        }
        for artifact in self.state.artifacts:
            path = f"{top}/actions/artifacts/{artifact.id}/zip"
            routes[path] = lambda found=artifact: self._redirect(found)
        routes.get(url.path, lambda: self._answer(404, b'{"message": "Not Found"}'))()

    def _list(self, query: dict[str, list[str]]) -> None:
        size = min(100, self.state.page_size, int(query.get("per_page", ["30"])[0]))
        number = int(query.get("page", ["1"])[0])
        self.state.on_page(number)
        start = (number - 1) * size
        page = [a.listed() for a in self.state.artifacts[start : start + size]]
        body = {"total_count": len(self.state.artifacts), "artifacts": page}
        content = json.dumps(body).encode()
        headers = {"ETag": f'W/"{hashlib.sha256(content).hexdigest()}"'}
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._answer(304, b"", headers)
            return
        if self.state.links and len(self.state.artifacts) > size:
            host = self.state.next_host or self.state.api
            there = (
                f"{host}/repositories/{OURS}/actions/artifacts"
                if self.state.moved
                else (f"{host}{urlsplit(self.path).path}")
            )
            last = -(-len(self.state.artifacts) // size)
            rels = [("next", number + 1)] if number < last else [("first", 1)]
            headers["Link"] = ", ".join(
                f'<{there}?per_page={size}&page={n}>; rel="{rel}"' for rel, n in rels
            )
        if self.state.circle:
            headers["Link"] = f'<{self.state.api}{self.path}>; rel="next"'
        self._answer(200, content, headers)

    def _pages(self) -> None:
        if self.state.pages:
            self._answer(200, json.dumps({"html_url": self.state.pages}).encode())
        else:
            self._answer(404, b'{"message": "Not Found"}')

    def _redirect(self, artifact: FakeArtifact) -> None:
        if artifact.gone:
            self._answer(410, b'{"message": "Artifact has expired"}')
        else:
            link = f"http://localhost:{self.state.port}/blob/{artifact.id}"
            self._answer(302, b"", {"Location": link})

    def _blob(self, number: int) -> None:
        self.state.downloads += 1
        if token := self.headers.get("Authorization"):
            self.state.leaked.append(token)
        artifact = next(a for a in self.state.artifacts if a.id == number)
        if artifact.breaks_off:
            artifact.breaks_off -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(artifact.content)))
            self.end_headers()
            self.wfile.write(artifact.content[: len(artifact.content) // 2])
            return
        self._answer(200, artifact.content)

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
