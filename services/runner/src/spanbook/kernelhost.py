"""A process that has imported what notebooks import, and forks a fresh kernel for each of them.

A kernel forked here starts in a tenth of the time, and its imports are there already. It is a
process of its own, in a session of its own, which can be killed with all that it started. The host
dies with the process that started it, a kernel with its host, and a kernel is killed when the
worker that asked for it goes away: nothing is left behind, whoever is killed.

Each kernel has one connection to the host. The worker sends a :class:`Request` and two file
descriptors (the link, and where a crash is told); the host answers with the process id, takes
signal numbers, and says the exit code at the end.
"""

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import warnings
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Final

import psutil

from spanbook import kernel

# What every notebook needs, and what makes up most of their start: seconds when imported afresh.
BASE: Final = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "IPython.core.completerlib",
    "cloudpickle",
    "spanbook.log",
    "spanbook.figures",
)
MAX_REQUEST: Final = 1 << 20
MARKER: Final = "SPANBOOK_ATTEMPT_ID"  # as in spanbook.worker, which needs Ray to be imported
_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a new kernel process is to look like."""

    cwd: str
    environ: dict[str, str]
    path: list[str]  # sys.path

    def encoded(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


class _Kernel:
    """A kernel that was forked, and the worker's connection."""

    def __init__(self, pid: int, connection: socket.socket, mark: str | None) -> None:
        self.pid = pid
        self.connection = connection
        self._mark = mark

    def signal(self, signum: int) -> None:
        """Signal the kernel and what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        """Kill the kernel and all that it started, in whatever session that is."""
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self.pid).children(recursive=True)
        self.signal(signal.SIGKILL)
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def kill_orphans(self) -> None:
        """Kill what an ended kernel leaves: on Linux its children are the host's own then."""
        self.signal(signal.SIGKILL)
        for process in psutil.Process().children() if self._mark else ():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARKER) == self._mark:
                    for below in process.children(recursive=True):
                        below.kill()
                    process.kill()


class Host:
    """Listens for requests, forks kernels, and tells how they ended."""

    def __init__(self, listener: socket.socket, owner: int) -> None:
        self._listener = listener
        self._owner = owner  # a pipe that the starting process holds: at its end it is gone
        self._kernels: dict[int, _Kernel] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(owner, selectors.EVENT_READ, self._owner_gone)
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        self._wake_reader = wake_reader
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(wake_reader, selectors.EVENT_READ, self._child_ended)

    def serve(self, preload: list[str]) -> None:
        """Import ``preload`` and serve, between two imports already."""
        for name in (*BASE, *preload):
            self._import(name)
            self._step(0)
        gc.collect()
        gc.freeze()
        while True:
            self._step(None)

    @staticmethod
    def _import(name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Whatever is wrong with a module shows in the notebook that imports it.
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    def _step(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(5)
        try:
            data, fds, _, _ = socket.recv_fds(connection, MAX_REQUEST, 2)
            while data and not data.endswith(b"\n"):
                data += connection.recv(MAX_REQUEST)
            request = Request(**json.loads(data))
        except (OSError, ValueError, TypeError):
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            try:
                self._become_kernel(request, fds)
            finally:
                os._exit(70)
        for fd in fds:
            os.close(fd)
        self._kernels[pid] = _Kernel(pid, connection, request.environ.get(MARKER))
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._told(pid))
        self._tell(connection, {"pid": pid})

    def _told(self, pid: int) -> None:
        """A signal to pass on, or the end of the connection: the worker is gone."""
        found = self._kernels.get(pid)
        if found is None:
            return
        try:
            data = found.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for number in map(int, data.split()):
            if number == signal.SIGKILL:
                found.kill()
            else:
                found.signal(number)
        if not data:
            self._selector.unregister(found.connection)
            found.kill()

    def _child_ended(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._kernels.pop(pid, None)
            if ended is None:
                continue
            ended.kill_orphans()
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(ended.connection)
            self._tell(ended.connection, {"exit": os.waitstatus_to_exitcode(status)})
            ended.connection.close()

    @staticmethod
    def _tell(connection: socket.socket, message: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(message).encode() + b"\n")

    def _owner_gone(self) -> None:
        for child in self._kernels.values():
            child.kill()
        os._exit(0)

    def _become_kernel(self, request: Request, fds: list[int]) -> None:
        """In the forked child: leave all that is the host's behind, and run the kernel."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        kernel.die_with_parent()
        self._listener.close()
        for other in self._kernels.values():
            other.connection.close()
        link, crashes = fds
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # what the notebook prints comes by Jupyter's messages
        os.dup2(nowhere, 2)
        faulthandler.enable(crashes, all_threads=False)
        os.close(self._owner)
        os.environ.clear()
        os.environ.update(request.environ)
        os.chdir(request.cwd)
        sys.path[:] = request.path
        sys.argv[:] = ["notebook"]
        _reseed()
        _limit_threads()
        kernel.run(Connection(link))


def _reseed() -> None:
    """Give the child random numbers of its own; ``random`` does so itself when forked."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _limit_threads() -> None:
    """Have numerical libraries use as many threads as Ray grants; they read that when loaded."""
    control, wanted = sys.modules.get("threadpoolctl"), os.environ.get("OMP_NUM_THREADS", "")
    if control is not None and wanted.isdigit():
        control.threadpool_limits(int(wanted))


def main() -> None:
    """``python -m spanbook.kernelhost LISTENER_FD OWNER_FD [MODULE …]``."""
    listener_fd, owner_fd, *preload = sys.argv[1:]
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    Host(socket.socket(fileno=int(listener_fd)), int(owner_fd)).serve(preload)


if __name__ == "__main__":
    main()
