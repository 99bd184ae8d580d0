"""The worker's side of notebook kernels: asks the kernel host for one, and watches it."""

import asyncio
import atexit
import contextlib
import json
import os
import queue
import socket
import sys
import time
from collections.abc import Mapping
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from spanbook import usage
from spanbook.errors import KernelError
from spanbook.kernelhost import Request
from spanbook.scratch import Scratch
from spanbook.warm import HOST_VARIABLE, KernelHost

START_SECONDS: Final = 60.0
END_SECONDS: Final = 2.0  # half of it to end by itself, half after SIGTERM; then it is killed


@cache
def _own_host() -> KernelHost:
    """This worker's own host, where the driver started none on this machine."""
    host = KernelHost()
    usage.leaving_out(host.pid)
    atexit.register(host.close)
    return host


def _connect() -> socket.socket:
    shared = os.environ.get(HOST_VARIABLE)
    if shared:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(shared)
            return connection
        except OSError:
            connection.close()
    host = _own_host()
    if not host.alive:
        _own_host.cache_clear()
        host = _own_host()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(host.address)
    return connection


class KernelProcess:
    """A kernel forked by the host."""

    def __init__(self, cwd: str, environ: Mapping[str, str]) -> None:
        self.exit_code: int | None = None
        self._rest = b""
        ours, theirs = socket.socketpair()
        try:
            self._connection = _connect()
            request = Request(
                cwd=cwd, environ=dict(environ), path=[p or str(Path.cwd()) for p in sys.path]
            )
            data = request.encoded()
            sent = socket.send_fds(self._connection, [data], [theirs.fileno(), 2])
            self._connection.sendall(data[sent:])
        except OSError as error:
            ours.close()
            raise KernelError(f"No kernel could be started: {error}.") from error
        finally:
            theirs.close()
        self.link = Connection(ours.detach())
        self._connection.settimeout(START_SECONDS)
        answer = self._read()
        if answer is None or "pid" not in answer:
            raise KernelError(
                f"No kernel was started in {START_SECONDS:g} s: the kernel host does not answer."
            )
        self.pid = answer["pid"]
        self._connection.setblocking(False)

    def _read(self) -> dict[str, int] | None:
        while b"\n" not in self._rest:
            try:
                data = self._connection.recv(4096)
            except (BlockingIOError, TimeoutError):
                return None
            except OSError:
                data = b""
            if not data:
                return {"exit": -9}  # the host is gone, and its kernels with it
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        message: dict[str, int] = json.loads(line)
        return message

    def poll(self) -> int | None:
        """The exit code once it has ended; that of a signal is negative."""
        if self.exit_code is None and (message := self._read()) is not None:
            self.exit_code = message.get("exit", -9)
        return self.exit_code

    def signal(self, signum: int) -> None:
        """Send a signal to the kernel and all that it started."""
        with contextlib.suppress(OSError):
            self._connection.sendall(b"%d\n" % signum)

    def close(self) -> None:
        """Let go of the kernel; one that still runs is killed."""
        self._connection.close()


class _Provisioner(KernelProvisionerBase):
    """What jupyter_client manages the kernel through."""

    process: KernelProcess | None = None

    @property
    def has_process(self) -> bool:
        return self.process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        manager: Any = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        return {"cmd": [], **kwargs}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:  # noqa: ARG002
        self.process = KernelProcess(kwargs["cwd"], kwargs["env"])
        return self.connection_info

    async def poll(self) -> int | None:
        return 0 if self.process is None else self.process.poll()

    async def wait(self) -> int | None:
        code = None
        while self.process is not None and (code := self.process.poll()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the host's word comes by a socket of our own
        self.process = None
        return code

    async def send_signal(self, signum: int) -> None:
        if self.process is not None:
            self.process.signal(signum)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        await self.send_signal(9)

    async def terminate(self, restart: bool = False) -> None:  # noqa: ARG002
        await self.send_signal(15)

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is left: the folder with the sockets goes with :class:`Kernel`."""


class _KernelClient(AsyncKernelClient):
    """Jupyter's client, which is content when the kernel answers on both channels."""

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        deadline = time.monotonic() + (timeout or START_SECONDS)
        while True:
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                await self.shell_channel.get_msg(timeout=1)
                await self.iopub_channel.get_msg(timeout=1)
                return
            if not await self._async_is_alive() or time.monotonic() > deadline:
                raise KernelError("The notebook's kernel died, or hangs, before it was ready.")

    wait_for_ready = _async_wait_for_ready


class Kernel:
    """A notebook's kernel: the process, its Jupyter channels, and its link to us."""

    def __init__(self, cwd: str, environ: Mapping[str, str]) -> None:
        self._scratch = Scratch()
        self.connection_file = str(self._scratch.path / "kernel.json")
        # Sockets in a folder of our own: no ports to collide, nobody else to listen.
        self.manager = AsyncKernelManager(
            connection_file=self.connection_file,
            transport="ipc",
            ip=str(self._scratch.path / "k"),
            client_factory=_KernelClient,
        )
        self.manager._kernel_spec = KernelSpec(language="python", display_name="Python 3")
        self._provisioner = _Provisioner(
            kernel_id="0", kernel_spec=self.manager.kernel_spec, parent=self.manager
        )
        self.manager.provisioner = self._provisioner
        try:
            _run(self.manager.start_kernel(cwd=cwd, env=dict(environ)))
        except BaseException:
            self._scratch.close()
            raise
        assert self._provisioner.process is not None
        self.process = self._provisioner.process

    @property
    def link(self) -> Connection:
        """Takes the kernel's setup; gives its batches and its result."""
        return self.process.link

    def close(self) -> None:
        """End the kernel: asked first, then killed."""
        try:
            _run(self._end())
        finally:
            self.process.close()
            self._scratch.close()

    async def _end(self) -> None:
        if self.process.poll() is None:
            await self.manager.request_shutdown()
        await self.manager.finish_shutdown(waittime=END_SECONDS, pollinterval=0.01)
        await self.manager.cleanup_resources()


def _run(coroutine: Any) -> Any:
    from jupyter_core.utils import ensure_event_loop  # noqa: PLC0415

    return ensure_event_loop().run_until_complete(coroutine)


def folder_of(path: str) -> str:
    """The folder that a notebook runs in: its own, or the current one where that is not here."""
    return path if path and Path(path).is_dir() else str(Path.cwd())
