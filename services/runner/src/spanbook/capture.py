"""Everything that an attempt prints, by whatever means, as log records of the attempt.

File descriptors 1 and 2 of a worker become pipes, once a process, so that an attempt pays nothing
for them; C extensions and subprocesses write there. Python's own ``sys.stdout`` and ``sys.stderr``
go past the pipes, but empty them first, so that the order in which a task and its subprocesses
write is the order that is recorded.
"""

import atexit
import codecs
import contextlib
import ctypes
import io
import logging
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from spanbook.output import MAX_OUTPUT_BYTES, Output, Stream

if TYPE_CHECKING:
    from spanbook.emitter import Emitter

READ_BYTES: Final = 1 << 16
REST_SECONDS: Final = 0.2  # between two copies of what is not recorded yet


class _Pipe:
    """A file descriptor of this process turned into a pipe that we read."""

    def __init__(self, stream: Stream, fd: int) -> None:
        self.stream: Stream = stream
        self.original = os.dup(fd)
        self.fd = fd
        self.open()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def open(self) -> None:
        """Make the descriptor a pipe of its own."""
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.dup2(self._writer, self.fd)
        self._inode = os.fstat(self.fd).st_ino

    def read(self) -> bytes:
        """What lies in the pipe, up to :data:`READ_BYTES`; empty where nothing does."""
        try:
            return os.read(self.reader, READ_BYTES)
        except BlockingIOError:
            return b""

    def mend(self) -> None:
        """Open the descriptor again where a task has closed it, or made it something else."""
        with contextlib.suppress(OSError):
            now = os.fstat(self.fd)
            # What closed it may have let a library of the process have its number: that stays.
            if now.st_ino == self._inode or stat.S_ISSOCK(now.st_mode):
                return
        os.dup2(self._writer, self.fd)

    def leave(self) -> int:
        """Let whoever writes to it now go on, and open a new one; returns the old one's reader."""
        reader, writer = self.reader, self._writer
        self.open()
        os.close(writer)
        return reader

    def pass_on(self, data: bytes) -> None:
        """Write to what the descriptor was before."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.original, data) :]


class _PythonStream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of a worker, while an attempt runs and between attempts."""

    def __init__(self, owner: "_Capture", pipe: _Pipe) -> None:
        self._owner = owner
        self._pipe = pipe
        self.buffer = io.BufferedWriter(_RawStream(owner, pipe), 1)  # for sys.stdout.buffer.write

    name = property(lambda self: f"<{self._pipe.stream}>")
    encoding = "utf-8"
    errors = "replace"

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._owner.write(self._pipe, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fd

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Stay open: a task that closes stdout must not silence the next one."""


class _RawStream(io.RawIOBase):
    """The bytes side of :class:`_PythonStream`."""

    def __init__(self, owner: "_Capture", pipe: _Pipe) -> None:
        self._owner = owner
        self._pipe = pipe

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fd

    def write(self, data: object, /) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        self._owner.write_bytes(self._pipe, content)
        return len(content)

    def close(self) -> None:
        """Stay open."""


class _LogHandler(logging.Handler):
    """Python's ``logging``, recorded with level and logger."""

    def __init__(self, owner: "_Capture") -> None:
        super().__init__()
        self._owner = owner

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 (as logging does: a bad format string must not fail the task)
            self.handleError(record)
            return
        self._owner.log(record, text)


class _Capture:
    """The capture of this process: the pipes, the reader, and whose output it is now."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.output: Output | None = None
        self._forked = False
        sys.stdout.flush()
        sys.stderr.flush()
        _flush_c()
        self.pipes = (_Pipe("stdout", 1), _Pipe("stderr", 2))
        self._streams = [_PythonStream(self, pipe) for pipe in self.pipes]
        self._poll = select.poll()
        self._strays: set[int] = set()  # pipes of what outlived its task
        self._wake_reader, self._wake_writer = os.pipe()  # tells the reader of new pipes
        self._poll.register(self._wake_reader, select.POLLIN)
        for pipe in self.pipes:
            self._poll.register(pipe.reader, select.POLLIN)
        sys.stdout, sys.stderr = self._streams
        self.handler = _LogHandler(self)
        threading.Thread(target=self._read_on, name="spanbook-capture", daemon=True).start()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._restore)

    def write(self, pipe: _Pipe, text: str) -> None:
        """Take text that Python code prints."""
        if self._forked:
            _write_all(pipe.fd, text.encode("utf-8", "replace"))
            return
        with self.lock:
            self._drain()
            self._take(pipe, text)

    def write_bytes(self, pipe: _Pipe, data: bytes) -> None:
        """Take bytes that Python code writes to ``sys.stdout.buffer``."""
        if self._forked:
            _write_all(pipe.fd, data)
            return
        with self.lock:
            self._drain()
            self._take(pipe, pipe.decoder.decode(data))

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Take a ``logging`` record."""
        if self._forked:
            _write_all(2, (text + "\n").encode("utf-8", "replace"))
            return
        with self.lock:
            self._drain()
            if self.output is not None:
                self.output.log(record, text)

    def begin(self, output: Output) -> None:
        """What is printed from now on belongs to ``output``."""
        with self.lock:
            self._drain()
            self.output = output
            sys.stdout, sys.stderr = self._streams  # a task may have put others there

    def end(self) -> None:
        """Take what was printed so far, and no more."""
        _flush_c()
        with self.lock:
            self._drain()
            output, self.output = self.output, None
            for pipe in self.pipes:
                pipe.mend()
                rest = pipe.decoder.decode(b"", final=True)
                pipe.decoder.reset()
                if output is not None and rest:
                    output.write(pipe.stream, rest)
            if output is not None:
                output.close()
                if _has_children():
                    self._leave_pipes()

    def _leave_pipes(self) -> None:
        """What a subprocess that outlives its task prints is not the next task's."""
        for pipe in self.pipes:
            self._poll.unregister(pipe.reader)
            reader = pipe.leave()
            self._strays.add(reader)
            self._poll.register(reader, select.POLLIN)
            self._poll.register(pipe.reader, select.POLLIN)
        os.write(self._wake_writer, b".")

    def _drop_strays(self, ready: list[tuple[int, int]]) -> None:
        """Empty the pipes of what outlived its task, so that it is not held up."""
        for reader, _ in ready:
            if reader == self._wake_reader:
                os.read(reader, READ_BYTES)
            elif reader in self._strays:
                with contextlib.suppress(BlockingIOError):
                    if not os.read(reader, READ_BYTES):
                        self._poll.unregister(reader)
                        self._strays.discard(reader)
                        os.close(reader)

    def _take(self, pipe: _Pipe, text: str) -> None:
        if self.output is not None:
            self.output.write(pipe.stream, text)
        else:
            pipe.pass_on(text.encode("utf-8", "replace"))

    def _drain(self) -> None:
        """Take all that lies in the pipes; the lock is held."""
        for pipe in self.pipes:
            for _ in range(64):  # a subprocess that never pauses must not hold us here
                data = pipe.read()
                if not data:
                    break
                self._take(pipe, pipe.decoder.decode(data))
                if len(data) < READ_BYTES:
                    break

    def _read_on(self) -> None:
        while True:
            ready = self._poll.poll()
            with self.lock:
                self._drain()
                self._drop_strays(ready)

    def _restore(self) -> None:
        """Give the descriptors back at the interpreter's end: nobody reads the pipes after it."""
        if self._forked:
            return
        with self.lock:
            for pipe in self.pipes:
                os.dup2(pipe.original, pipe.fd)
            self._drain()

    def _after_fork(self) -> None:
        self._forked = True
        self.output = None


_capture: _Capture | None = None


@contextlib.contextmanager
def capture(emitter: "Emitter", limit: int = MAX_OUTPUT_BYTES) -> Iterator[None]:
    """Record what is printed and logged in this process meanwhile, as lines of ``emitter``.

    For worker processes: one capture at a time a process, and its descriptors stay pipes.
    """
    global _capture  # noqa: PLW0603 (file descriptors 1 and 2 are the process's)
    if _capture is None:
        _capture = _Capture()
    root = logging.getLogger()
    level = root.level
    _capture.begin(Output(emitter, limit))
    root.addHandler(_capture.handler)
    if level in {logging.WARNING, logging.NOTSET}:
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(_capture.handler)
        _capture.end()


class Rest:
    """What an attempt has printed and is not recorded yet, for the case that it dies.

    That is a line without its end, as of a progress bar, and the kept end of output that is cut.

    Args:
        copy: makes an emitter, has what it is given record by it, and stashes that.
    """

    def __init__(self, copy: Callable[[Callable[["Emitter"], None]], None]) -> None:
        self._copy = copy
        self._seen = 0
        self._due = 0.0
        self._stashed = False

    def tick(self) -> None:
        """Stash it, where it is new and the time has come."""
        began = time.monotonic()
        if began >= self._due:
            self.stash()
            # The end of much output takes long to copy: at most a tenth of the time goes there.
            self._due = began + max(REST_SECONDS, 10 * (time.monotonic() - began))

    def stash(self) -> None:
        """Stash it, where it is new."""
        owner = _capture
        if owner is None or not owner.lock.acquire(timeout=REST_SECONDS):
            return
        try:
            output = owner.output
            if output is None or output.changes == self._seen:
                return
            self._seen = output.changes
            if output.is_open:
                self._stashed = True
                self._copy(output.copy_rest)
                output.on_line = self._forget
            elif self._stashed:
                self._forget()
        finally:
            owner.lock.release()

    def _forget(self) -> None:
        """The line is recorded as a whole now."""
        self._stashed = False
        self._copy(lambda _: None)


def _flush_c() -> None:
    """Make C code's stdio buffers go to the descriptors."""
    with contextlib.suppress(AttributeError, OSError):
        _LIBC.fflush(None)


_LIBC: Final = ctypes.CDLL(None)


def _has_children() -> bool:
    """Whether this process has child processes, running or not waited for."""
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
