"""Programs under test: started, watched with all their children, and stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(find: Callable[[], T | None], seconds: float, what: str, every: float = 0.1) -> T:
    """What ``find`` gives, once it gives anything; after ``seconds`` it fails naming ``what``."""
    end = time.monotonic() + seconds
    while True:
        found = find()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(every)


class Program:
    """A command that runs, its output so far, and every process that descends from it.

    Used as a context manager it is interrupted at the end, and killed where that does not help.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.command = command
        self._output: list[str] = []
        self._family: dict[psutil.Process, str] = {}
        self.process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._output.append(line)

    def _watch(self) -> None:
        root = psutil.Process(self.process.pid)
        while not self._stop.wait(0.1):
            try:
                for child in root.children(recursive=True):
                    self._family.setdefault(child, " ".join(child.cmdline())[:200])
            except psutil.Error:
                continue

    @property
    def output(self) -> str:
        """What it printed so far, both streams."""
        return "".join(self._output)

    def says(self, text: str, seconds: float = 60) -> None:
        """Wait until it has printed ``text``; fail with all it printed when it ends without."""

        def look() -> bool:
            assert self.process.poll() is None or text in self.output, self.output
            return text in self.output

        wait_for(look, seconds, f"{text!r} in:\n{self.output}")

    def interrupt(self) -> None:
        """Send SIGINT as Ctrl-C in a terminal does: to the command and all in its group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code; all output is read then."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.output}") from None
        self._reader.join(5)
        return code

    def orphans(self, seconds: float = 10) -> list[str]:
        """Command lines of descendants that still live ``seconds`` after its end."""
        self._stop.set()
        self._watcher.join()
        _, alive = psutil.wait_procs(list(self._family), timeout=seconds)
        return [f"{p.pid}: {self._family[p]}" for p in alive if p.status() != psutil.STATUS_ZOMBIE]

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.interrupt()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._stop.set()
        self._watcher.join()
        for process in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._reader.join(5)
