"""The command as a process: starting, streaming and stopping."""

import http.client
import inspect
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from spanbook_viewer.app import MOST_STREAMS
from spanbook_viewer.changes import Changes
from spanbook_viewer.server import GRACE
from support.viewers import COMMAND, Viewer, viewing


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of one page."""
    folder = tmp_path / "site"
    (folder / "data").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>one</h1>")
    build(folder, "1")
    return folder


@pytest.fixture
def viewer(site: Path, tmp_path: Path) -> Iterator[Viewer]:
    """A running viewer."""
    with viewing(site, tmp_path / "runs") as running:
        yield running


def build(site: Path, version: str) -> None:
    """Write the manifest, as a build ends."""
    aside = site / "data" / ".build.tmp"
    aside.write_text(json.dumps({"pages": {"index.html": version}}))
    aside.replace(site / "data" / "build.json")


class Stream:
    """An open event stream, read event by event."""

    def __init__(self, viewer: Viewer, last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=30)
        self.connection.request("GET", "/events", headers={"Last-Event-ID": last} if last else {})
        self.response = self.connection.getresponse()

    def next(self) -> dict[str, str]:
        """The next event's fields; empty where the stream has ended."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            if line == "\n" and fields:
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
        return {}

    def close(self) -> None:
        """Hang up."""
        self.response.close()
        self.connection.close()


def status(viewer: Viewer, path: str = "/") -> int:
    """The HTTP status of a path."""
    with closing(http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_change_reaches_an_open_page(viewer: Viewer, site: Path) -> None:
    """A stream says hello at once, and names a page soon after its build: the site is looked at so often."""
    assert inspect.signature(Changes).parameters["interval"].default < 1
    with closing(Stream(viewer)) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.next()["event"] == "hello"
        build(site, "2")
        event = stream.next()
        assert event["event"] == "changed"
        assert json.loads(event["data"]) == {"paths": ["index.html"]}


def test_stream_resumes_where_it_ended(viewer: Viewer, site: Path) -> None:
    """What changed while a page was away comes when it is back; nothing comes twice."""
    with closing(Stream(viewer)) as stream:
        stream.next()
        build(site, "2")
        last = stream.next()["id"]
    with closing(Stream(viewer)) as other:  # keeps watching meanwhile
        other.next()
        build(site, "3")
        other.next()
    with closing(Stream(viewer, last)) as back:
        assert back.next()["event"] == "hello"
        assert json.loads(back.next()["data"]) == {"paths": ["index.html"]}


def test_stream_of_an_earlier_viewer_is_told_everything(viewer: Viewer) -> None:
    """After a restart a page fetches itself again, whatever it saw before."""
    with closing(Stream(viewer, "0badcafe-12")) as stream:
        stream.next()
        assert json.loads(stream.next()["data"]) == {"all": True}


def test_streams_do_not_use_up_the_server(viewer: Viewer) -> None:
    """With every stream taken the next is refused, pages are served, and closing frees them."""
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(Stream(viewer))) for _ in range(MOST_STREAMS)]
        assert all(stream.next()["event"] == "hello" for stream in streams)
        assert status(viewer, "/events") == 503
        assert (
            status(viewer) == 200
        )  # without a thread it would wait for a stream to end: none does
    end = time.monotonic() + 30
    while True:
        with closing(Stream(viewer)) as stream:
            if stream.response.status == 200:
                break
        assert time.monotonic() < end, "closed streams were not given back"
        time.sleep(0.2)


def test_sigterm_ends_at_once(site: Path, tmp_path: Path) -> None:
    """Open streams and idle connections do not hold up a stop; streams end whole."""
    with viewing(site, tmp_path / "runs") as viewer, ExitStack() as stack:
        streams = [stack.enter_context(closing(Stream(viewer))) for _ in range(5)]
        idle = stack.enter_context(
            closing(http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=5))
        )
        idle.request("GET", "/")
        idle.getresponse().read()
        assert all(stream.next() for stream in streams)
        start = time.monotonic()
        assert viewer.stop() == 0
        assert (
            time.monotonic() - start < GRACE - 2
        )  # 0.4 s where nothing else runs; waiting takes GRACE
        assert all(stream.next() == {} for stream in streams)


def test_redirect_never_names_another_host(viewer: Viewer, site: Path) -> None:
    """An address with two slashes in front is not turned into one of another host."""
    (site / "evil.example").mkdir()
    for path in ("//evil.example", "/%2fevil.example", "/.%5cevil.example"):
        with closing(http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=5)) as connection:
            connection.putrequest("GET", path)
            connection.endheaders()
            target = connection.getresponse().headers.get("Location", "")
            assert not target.startswith(("//", "http://evil", "\\")), path


def test_silent_connections_do_not_hold_up_pages(viewer: Viewer) -> None:
    """Browsers connect ahead of need; such connections keep nobody waiting."""
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", viewer.port)))
        time.sleep(0.2)
        assert status(viewer) == 200


def test_port_in_use_is_a_usage_error_that_says_what_to_do(viewer: Viewer, tmp_path: Path) -> None:
    """The message names the address and the variable that moves it; the exit code is 2."""
    done = subprocess.run(
        [COMMAND, "--site", str(tmp_path), "--port", str(viewer.port)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"127.0.0.1:{viewer.port}" in done.stderr
    assert "SPANBOOK_VIEWER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "flags", [["--port", "x"], ["--port", "70000"], ["--host", "no.such.host.invalid"]]
)
def test_bad_settings_are_usage_errors(flags: list[str]) -> None:
    """A value that cannot be used ends the command with 2 and a sentence, not a traceback."""
    done = subprocess.run(
        [COMMAND, *flags], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert flags[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_flag_and_variable() -> None:
    """``--help`` is complete: each flag with its variable and default."""
    told = subprocess.run(
        [COMMAND, "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    for word in (
        *("--site", "--runs", "--host", "--port", "--allowed-hosts", "--ready-file"),
        *("SPANBOOK_OUTPUTS", "SPANBOOK_VIEWER_HOST", "SPANBOOK_VIEWER_PORT"),
        *("SPANBOOK_ALLOWED_HOSTS", "SPANBOOK_MAX_IMPORT_MB", "8080", "127.0.0.1"),
    ):
        assert word in told
