"""The line between workers and driver, while an attempt runs.

Workers connect to the driver's listener (TCP, mutual HMAC authentication) when they have
something to say before their result is due; the connection lives as long as the worker.
"""

import contextlib
import fcntl
import secrets
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from spanbook.emitter import Batch

PATIENCE_SECONDS: Final = 5.0  # without a sign of a worker, when something of it is awaited


@dataclass(frozen=True, slots=True)
class Address:
    """Where the driver listens, and the secret to be let in."""

    host: str
    port: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began in a worker; ``running`` is 0 until its own code does. Times in ns."""

    span_id: str
    pid: int
    node: str
    host: str
    start: int
    running: int


@dataclass(frozen=True, slots=True)
class Records:
    """Some of what an attempt recorded."""

    span_id: str
    batch: Batch


@dataclass(frozen=True, slots=True)
class Stash:
    """Records that count only if the attempt dies."""

    span_id: str
    batch: Batch


@dataclass(frozen=True, slots=True)
class Stopped:
    """An attempt that was told to stop has sent all it has."""

    span_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: this attempt is about to be killed; send what you have."""

    span_id: str
    reason: str  # for the user, in words


@dataclass(frozen=True, slots=True)
class Seated:
    """A connection's first message: it is a worker's seat, for attempts to be handed over."""


Message = Started | Records | Stash | Stopped


class Relay:
    """The driver's end: hears all workers, and can speak to the worker of an attempt.

    Args:
        host: The address to listen on; workers must reach it.
        receive: Takes every message, on the connection's own thread. It may block: that holds
            back the worker that sends too fast.
        seat: Takes the connection of a worker's seat over.
    """

    def __init__(
        self,
        host: str,
        receive: Callable[[Message], None],
        seat: Callable[[Connection], None] = Connection.close,
    ) -> None:
        self._seat = seat
        self._key = secrets.token_bytes(32)
        self._receive = receive
        self._listener = Listener((host, 0))
        self.address = Address(host, self._listener.address[1], self._key)
        self._lock = threading.Condition()
        self._counts: dict[str, int] = {}
        self._last = 0.0  # when the last message came, of whatever attempt
        self._lines: dict[str, Connection] = {}
        self._closed: set[int] = set()
        self._open: set[Connection] = set()
        self._down = False
        threading.Thread(target=self._accept, name="spanbook-relay", daemon=True).start()

    def stop(self, span_id: str, reason: str) -> bool:
        """Tell an attempt that its end is near; False where its worker cannot be reached."""
        with self._lock:
            line = self._lines.get(span_id)
        if line is None:
            return False
        try:
            line.send(Stop(span_id, reason))
        except OSError:
            return False
        return True

    def wait(self, span_id: str, messages: int) -> bool:
        """Wait until so many messages of the attempt came; False if they do not come any more."""
        with self._lock:
            return self._wait_for(lambda: self._counts.get(span_id, 0) >= messages)

    def wait_closed(self, span_id: str) -> None:
        """Wait until all that a dead worker had sent about the attempt is here."""
        with self._lock:
            line = self._lines.get(span_id)
            if line is not None:
                self._wait_for(lambda: line not in self._open)

    def _wait_for(self, done: Callable[[], bool]) -> bool:
        """Wait as long as messages come, and a while longer; the lock is held."""
        began = time.monotonic()
        while not done():
            left = max(began, self._last) + PATIENCE_SECONDS - time.monotonic()
            if left <= 0:
                return False
            self._lock.wait(left)
        return True

    def forget(self, span_id: str) -> None:
        """Nothing more is awaited of this attempt."""
        with self._lock:
            self._counts.pop(span_id, None)
            self._lines.pop(span_id, None)

    def close(self) -> None:
        """Hang up."""
        self._down = True
        self._listener.close()
        with self._lock:
            lines = list(self._open)
        for line in lines:
            with contextlib.suppress(OSError):
                line.close()

    def _accept(self) -> None:
        while not self._down:
            try:
                line = self._listener.accept()
            except OSError:
                continue
            threading.Thread(
                target=self._serve, args=(line,), name="spanbook-line", daemon=True
            ).start()

    def _serve(self, line: Connection) -> None:
        try:
            deliver_challenge(line, self._key)
            answer_challenge(line, self._key)
            first = line.recv()
        except (AuthenticationError, EOFError, OSError):
            line.close()
            return
        if isinstance(first, Seated):
            self._seat(line)
            return
        with self._lock:
            self._open.add(line)
        try:
            self._take(line, first)
            while True:
                self._take(line, line.recv())
        except (EOFError, OSError):
            pass
        finally:
            with self._lock:
                self._open.discard(line)
                self._lock.notify_all()
            with contextlib.suppress(OSError):
                line.close()

    def _take(self, line: Connection, message: Message) -> None:
        with self._lock:
            self._lines.setdefault(message.span_id, line)
        self._receive(message)
        with self._lock:
            self._counts[message.span_id] = self._counts.get(message.span_id, 0) + 1
            self._last = time.monotonic()
            self._lock.notify_all()


class Line:
    """The worker's end: one connection a process, opened when first needed.

    The threads of a task send by it, so whatever a signal handler of the task does in the middle of
    that, a message goes out whole and once: it may print, which sends, or raise, which leaves the
    rest to the next send. What was written stays readable though this process dies.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.RLock()
        self._connection: Any = None
        self._socket: Any = None
        self._frames: deque[tuple[bytes, list[int]]] = deque()  # each with the bytes that are out
        self._busy = False
        self._on_stop: dict[str, Callable[[str], None]] = {}

    def send(self, message: Message) -> None:
        """Send one message; blocks while the driver is busy.

        Raises:
            OSError: the driver is gone.
        """
        with self._lock:
            self._frames.append((_framed(message), []))
            if self._busy:  # within a send of this thread, which goes on with it
                return
            self._busy = True
            try:
                if self._connection is None:
                    self._connect()
                self._push()
            except OSError:
                self._frames.clear()
                raise
            finally:
                self._busy = False

    def _connect(self) -> None:
        opened: Connection = Client(
            (self.address.host, self.address.port), authkey=self.address.key
        )
        connection = Connection(_moved(opened))  # a task may have closed 1 and 2: never these
        opened.close()
        self._socket = socket.socket(fileno=_moved(connection))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        threading.Thread(target=self._hear, name="spanbook-line", daemon=True).start()

    def _push(self) -> None:
        """Write what waits; the lock is held.

        A signal handler runs between two calls, never within one that does not wait: so each step
        that must not be torn apart is one call, and how far it came is read from what it left.
        """
        while self._frames:
            frame, out = self._frames[0]
            begin = sum(out)
            if begin == len(frame):
                self._frames.popleft()
                continue
            rest = memoryview(frame)[begin:]
            try:
                out.extend(map(self._socket.send, (rest,), (socket.MSG_DONTWAIT,)))
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._socket, select.POLLOUT)
                poll.poll()

    def on_stop(self, span_id: str, callback: Callable[[str], None] | None) -> None:
        """Call ``callback`` on another thread when the attempt is told to stop; None takes it back."""
        if callback is None:
            self._on_stop.pop(span_id, None)
        else:
            self._on_stop[span_id] = callback

    def _hear(self) -> None:
        while True:
            try:
                message: Stop = self._connection.recv()
            except (EOFError, OSError):
                return
            callback = self._on_stop.get(message.span_id)
            if callback is not None:
                callback(message.reason)


def _moved(connection: Connection) -> int:
    """Another descriptor of a connection, above those of standard output."""
    return fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)


def _framed(message: Message) -> bytes:
    """A message as :meth:`Connection.recv` takes it."""
    data = ForkingPickler.dumps(message)
    size = len(data)
    head = struct.pack("!i", size) if size < 1 << 31 else struct.pack("!iQ", -1, size)
    return head + data
