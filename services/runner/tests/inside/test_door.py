"""What tasks send to MLflow goes on as it is, but for secrets."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from spanbook.door import Door
from spanbook.masking import Masker

SECRET = "hunter2hunter2"


class _Echo(BaseHTTPRequestHandler):
    """Answers with what came; closes each second connection, as a server may."""

    protocol_version = "HTTP/1.1"
    count = 0

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {"method": self.command, "path": self.path, "size": len(body)}
        content = json.dumps({**told, "body": body.decode("latin-1")}).encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        type(self).count += 1
        if type(self).count % 2:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    """A server that says what it was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mlflow"
    server.shutdown()
    server.server_close()


def _ask(
    door: Door, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict]:
    address = door.uri.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        chunked = not isinstance(body, bytes | None)
        connection.request(method, path, body=body, headers=headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_secrets_do_not_pass(upstream: str) -> None:
    """JSON and text files lose their secrets on the way; of other files with one a notice goes."""
    door = Door(upstream, Masker([SECRET]))
    _, told = _ask(
        door, "POST", "/mlflow/api/2.0/mlflow/runs/set-tag", f'{{"v": "{SECRET}"}}'.encode()
    )
    assert told["body"] == '{"v": "***"}'
    files = "/mlflow/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts"
    assert _ask(door, "PUT", f"{files}/a.txt", SECRET.encode())[1]["body"] == "***"
    data = b"\x00\xff and nothing more"
    assert _ask(door, "PUT", f"{files}/a.bin", data)[1]["body"] == data.decode("latin-1")
    withheld = _ask(door, "PUT", f"{files}/a.bin", data + SECRET.encode())[1]["body"]
    assert "'a.bin' (33 bytes) is withheld" in withheld
    assert SECRET not in withheld
    door.close()


def test_all_else_passes(upstream: str) -> None:
    """Methods, paths, statuses, empty, chunked and large bodies pass, over connections that end at any time."""
    door = Door(upstream, Masker())
    assert _ask(door, "GET", "/mlflow/x?a=b%20c")[1]["path"] == "/mlflow/x?a=b%20c"
    assert _ask(door, "GET", "/missing")[0] == 404
    assert _ask(door, "PUT", "/x", b"y" * 9_000_000)[1]["size"] == 9_000_000
    assert (
        _ask(door, "PUT", "/x", iter([b"ab", b"c"]), **{"Transfer-Encoding": "chunked"})[1]["body"]
        == "abc"
    )
    address = door.uri.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=20)
    for number in range(6):  # one connection to the door, several behind it
        connection.request("POST", f"/{number}", body=b"1")
        answer = connection.getresponse()
        assert json.loads(answer.read())["path"] == f"/{number}"
    connection.close()
    door.close()


def test_a_collector_that_is_away_is_tried_again(upstream: str) -> None:
    """Where the collector does not answer, MLflow's client is told to come again."""
    door = Door("http://127.0.0.1:9/mlflow", Masker())
    status, told = _ask(door, "GET", "/mlflow/version")
    assert (status, told["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    door.close()


def test_only_one_runs_tasks_may_pass(upstream: str) -> None:
    """The driver's door, which other machines reach, is for those who know the run's id."""
    door = Door(upstream, Masker(), only="f" * 32)
    assert _ask(door, "GET", "/mlflow/api/2.0/x")[0] == 403
    assert _ask(door, "GET", f"/mlflow/{'f' * 48}/api/2.0/x")[0] == 200
    door.close()
