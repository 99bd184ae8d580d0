"""The viewer as a process of its own, on a free port; and a plain static server as others have."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).with_name("spanbook-viewer"))


class Viewer:
    """A running ``spanbook-viewer``; stop it by :meth:`stop`."""

    def __init__(self, site: Path, runs: Path, *flags: str) -> None:
        self.site, self.runs = site, runs
        ready = site.parent / f"viewer-{os.urandom(4).hex()}.json"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SPANBOOK_")}
        self.process = subprocess.Popen(
            [COMMAND, "--site", str(site), "--runs", str(runs), "--port", "0",
             "--ready-file", str(ready), *flags],
            env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError(f"the viewer did not start: {self.process.communicate()[0]}")
            time.sleep(0.02)
        note = json.loads(ready.read_text())
        self.url: str = note["url"]
        self.port: int = note["port"]

    def stop(self) -> int:
        """Stop it as Docker does, and wait; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=15)
        finally:
            if self.process.poll() is None:
                self.process.kill()
        return self.process.returncode


@contextmanager
def viewing(site: Path, runs: Path, *flags: str) -> Iterator[Viewer]:
    """A viewer for the length of a block."""
    viewer = Viewer(site, runs, *flags)
    try:
        yield viewer
    finally:
        viewer.stop()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """A folder as any static host serves it; gives the address, which ends in a slash."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
