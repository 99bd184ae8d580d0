"""A worker under lease: it runs one attempt after another, as the driver hands them over."""

import contextlib
import os
import pickle
import socket
import struct
from functools import cache
from multiprocessing.connection import Client, Connection
from typing import Any, NamedTuple

import cloudpickle

from spanbook import values, worker
from spanbook.relay import Address, Seated
from spanbook.worker import Request

END = b""  # instead of an attempt: the lease is over
READ_BYTES = 1 << 18

_LENGTH = struct.Struct("!Q")


class Ready(NamedTuple):
    """To the driver: the worker of this lease is there."""

    lease: int
    pid: int
    node: str


class Done(NamedTuple):
    """To the driver: the attempt is over; values are :class:`Inline`, or Nones where it failed."""

    outcome: bytes
    values: list[Any]


class Handed(NamedTuple):
    """To the worker: an attempt; ``code`` is empty where the worker has it already."""

    request: bytes
    number: int  # of the task's code
    code: bytes
    inputs: list[Any]


def serve(setting: bytes, lease: int, n_outputs: int) -> tuple[Any, ...]:
    """Run what the driver hands over, until it ends the lease.

    Returns the last attempt's :class:`Outcome`, packed, and its values, where these are too large for
    the driver to hold: they become Ray's, and do not die with this worker. Else nothing, and Nones.
    """
    seat = _seat(worker.setting_of(setting).relay)
    pid, node, _ = worker.place()
    seat.say(Ready(lease, pid, node))
    while (handed := seat.next()) is not None:
        outcome, outputs = worker.attempted(
            setting, seat.code(handed), Request(*cloudpickle.loads(handed.request)), handed.inputs
        )
        if os.getpid() != pid:
            os._exit(1)  # a fork of the task's own that came back from it too: nobody waits for it
        small = values.inlined(outputs)
        if small is None:
            return (outcome.packed(), *outputs)
        seat.say(Done(outcome.packed(), small))
        del handed, outputs, small
    return (b"", *(None,) * n_outputs)


class Seat:
    """The worker's end: a connection of its own, so that nothing long stands before an attempt."""

    def __init__(self, address: Address) -> None:
        connection = Client((address.host, address.port), authkey=address.key)
        connection.send(Seated())
        self._wire = Wire(connection)
        self._codes: dict[int, bytes] = {}

    def say(self, message: Ready | Done) -> None:
        """Send a message; a driver that is gone is heard of in :meth:`next`."""
        with contextlib.suppress(OSError):
            self._wire.send(pickle.dumps(message, protocol=5))

    def next(self) -> Handed | None:
        """Wait for the next attempt; None at the lease's end."""
        try:
            while not (found := self._wire.read()):
                pass
        except (EOFError, OSError):
            return None
        return None if found == [END] else cloudpickle.loads(found[0])

    def code(self, handed: Handed) -> bytes:
        """The attempt's task, pickled."""
        if handed.code:
            self._codes[handed.number] = handed.code
        return self._codes[handed.number]


class Wire:
    """Whole messages over a connection of TCP, sent at once.

    Args:
        connection: One that has been let in; it is taken over.
        seconds: How long to wait for one who does not take what is sent; None is for ever.
    """

    def __init__(self, connection: Connection, seconds: float | None = None) -> None:
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        connection.close()
        self._socket.settimeout(seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Its file descriptor."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send a message.

        Raises:
            OSError: the other end is gone, or does not listen.
        """
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def read(self) -> list[bytes]:
        """Wait for some bytes; returns the messages that are whole by now, often none.

        Raises:
            EOFError: the other end has hung up.
            OSError: so it has.
        """
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise EOFError
        self._buffer += data
        found, at = [], 0
        while len(self._buffer) >= at + _LENGTH.size:
            end = at + _LENGTH.size + _LENGTH.unpack_from(self._buffer, at)[0]
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[at + _LENGTH.size : end]))
            at = end
        del self._buffer[:at]
        return found

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@cache
def _seat(address: Address) -> Seat:
    return Seat(address)
