"""A door to the collector for MLflow's clients: what goes through it bears no secrets.

MLflow's client speaks HTTP and knows nothing of masking. So each worker listens on its own machine,
masks what a task sends, and hands it on; what is sent is otherwise as it was. Where the collector
listens on the driver's machine only, and the workers are on others, the driver has such a door, too.
"""

import contextlib
import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from spanbook_runfile.media import media_type_of

from spanbook.artifacts import Content
from spanbook.masking import Masker
from spanbook.withholding import notice, secret_in

SECONDS: Final = 120.0  # that the collector has to answer: it answers once the data is on disk
_PIECE: Final = 1 << 16
_HOP: Final = frozenset({"connection", "transfer-encoding", "keep-alive", "host", "content-length"})
_ARTIFACTS: Final = "/mlflow-artifacts/"


class Door:
    """Listens from the start on, in threads of its own, until it is closed."""

    def __init__(
        self, upstream: str, masker: Masker, *, host: str = "127.0.0.1", only: str = ""
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.masker = masker
        self.only = only  # what each path must hold: the run that it is for
        self._server = _Server((host, 0), _Handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        """The address that stands for the upstream one."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}{self.upstream.path}"

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the collector."""
        kind = (
            http.client.HTTPSConnection
            if self.upstream.scheme == "https"
            else http.client.HTTPConnection
        )
        return kind(self.upstream.hostname or "", self.upstream.port, timeout=SECONDS)

    def masked(self, path: str, body: bytes) -> bytes:
        """A body without secrets; of a file that is no text and holds one, a notice."""
        file = urlsplit(path).path
        if _ARTIFACTS in path and not Content(media_type_of(file), b"").is_text:
            variable = secret_in(self.masker, body)
            name = file.rpartition("/")[2]
            return notice(name, len(body), variable).encode() if variable else body
        self.masker.refresh()
        return self.masker.data(body)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any, door: Door) -> None:
        self.door = door
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _onward: http.client.HTTPConnection | None = None

    def setup(self) -> None:
        super().setup()
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        if self._onward is not None:
            self._onward.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: what a task prints is its own."""

    def _pass(self) -> None:
        door = self.server.door
        body = self._body()
        if door.only not in self.path:
            self._refuse(403, "PERMISSION_DENIED", "This address is for the tasks of one run.")
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        try:
            answer = self._ask(headers, door.masked(self.path, body) if body else body)
        except (OSError, http.client.HTTPException) as error:
            told = f"The collector does not answer at {door.upstream.geturl()}: {error}"
            self._refuse(503, "TEMPORARILY_UNAVAILABLE", told)  # which the client tries again
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = answer.length
        if length is None:
            content = answer.read()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.send_header("Content-Length", str(length))
        self.end_headers()
        while piece := answer.read(_PIECE):
            self.wfile.write(piece)

    def _ask(self, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        """The collector's answer; a connection that it has closed since is opened anew."""
        if self._onward is not None:
            try:
                return self._asked(self._onward, headers, body)
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                self._onward.close()
        self._onward = self.server.door.connect()
        return self._asked(self._onward, headers, body)

    def _asked(
        self, onward: http.client.HTTPConnection, headers: dict[str, str], body: bytes
    ) -> http.client.HTTPResponse:
        onward.request(self.command, self.path, body=body or None, headers=headers)
        return onward.getresponse()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(out)

    def _refuse(self, status: int, code: str, message: str) -> None:
        content = json.dumps({"error_code": code, "message": message}).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass  # noqa: N815
