"""Leases: workers to whom the driver hands one attempt after another, without a round through Ray each.

For one machine: :mod:`spanbook.dispatch` makes calls of their own of a cluster's attempts.

A lease is a Ray task that runs nothing but what its driver hands it. It holds the CPUs of what it
runs, so those are respected as ever; it lives :data:`LEASE_SECONDS`, so that Ray can give its CPUs
to others who wait; an attempt is handed only to a worker that is there and idle, so none waits
behind another while a CPU is free.
"""

import contextlib
import itertools
import pickle
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import ray

from spanbook.loop import Loop
from spanbook.seat import END, Done, Handed, Ready, Wire, serve
from spanbook.worker import Outcome

LEASE_SECONDS = 0.5  # an attempt that ends later ends its lease, too
LINGER_SECONDS = 0.01  # that an idle worker is kept, where nobody else waits for its CPUs
SEND_SECONDS = 5.0  # for a worker to take what it is handed
REST_SECONDS = 0.2  # for the rest of what a dead worker had said
HANDED_BYTES = 256 << 10  # of values with an attempt; more of them go by Ray

Shape = tuple[float, int]  # CPUs, and number of values


@dataclass(eq=False, slots=True)
class Lease:
    """One worker's promise, from the call of Ray to its end."""

    number: int
    shape: Shape
    values: Sequence[Any]  # ObjectRefs of the last attempt's values, where these are large
    seat: "Seat | None" = None  # None until it has a worker
    since: float = 0.0
    pid: int = 0
    node: str = ""
    attempt: Any = None  # that its worker runs
    attempts: int = 0
    over: bool = False  # it is handed nothing more


@dataclass(eq=False, slots=True)
class _Queue:
    """The attempts of one shape that wait, and the leases to run them."""

    waiting: deque[Any] = field(default_factory=deque)
    asked: int = 0  # leases at Ray that have no worker yet
    alive: int = 0  # leases that have
    idle: list[Lease] = field(default_factory=list)


class Seat:
    """The driver's end of a worker's seat, and the lease that the worker is under."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.codes: set[int] = set()  # of the tasks whose code the worker has
        self.lease: Lease | None = None
        self.open = True
        self.unread = False  # the worker died before it read what it was handed last: TCP tells


class Leases:
    """Asks Ray for leases, and hands attempts to their workers; on the main thread.

    Args:
        setting: The run's, packed, for the workers.
        room: How many leases of a shape there may be.
        others: Whether anybody else of this run waits for CPUs.
        hand: Gives what a worker is told of an attempt, its code's number, and its code.
        done: Takes an attempt that ended, its outcome and its values.
        failed: Takes an attempt whose lease came to a bad end, and Ray's error.
    """

    def __init__(
        self,
        loop: Loop,
        setting: bytes,
        *,
        room: Callable[[float], int],
        others: Callable[[], bool],
        hand: Callable[[Any], tuple[bytes, int, bytes]],
        done: Callable[[Any, Outcome, Sequence[Any]], None],
        failed: Callable[[Any, BaseException], None],
    ) -> None:
        self._loop, self._setting = loop, setting
        self._room, self._others, self._hand = room, others, hand
        self._done, self._failed = done, failed
        self._queues: dict[Shape, _Queue] = {}
        self._leases: dict[int, Lease] = {}
        self._remotes: dict[Shape, Any] = {}
        self._numbers = itertools.count()
        self._seats: set[Seat] = set()

    def take(self, attempt: Any, shape: Shape) -> None:
        """Have an attempt run by the next worker that is free."""
        queue = self._queues.setdefault(shape, _Queue())
        queue.waiting.append(attempt)
        if queue.idle:
            self._give(queue.idle.pop(), queue)
        self._ask(shape, queue)

    def drop(self) -> list[Any]:
        """Forget the attempts that no worker has yet; returns them."""
        dropped = [attempt for queue in self._queues.values() for attempt in queue.waiting]
        for queue in self._queues.values():
            queue.waiting.clear()
        return dropped

    def give_way(self) -> None:
        """Somebody else waits for CPUs: let idle workers go."""
        for queue in self._queues.values():
            while queue.idle:
                self._end(queue.idle.pop())

    def seat(self, connection: Connection) -> None:
        """A worker sits down; on any thread."""
        self._loop.wake(partial(self._sit, connection))

    def close(self) -> None:
        """Hang up on the workers."""
        for seat in self._seats:
            seat.wire.close()

    @property
    def asked(self) -> bool:
        """Whether a lease waits for a worker."""
        return any(queue.asked for queue in self._queues.values())

    # -- leases ---------------------------------------------------------------------------------

    def _ask(self, shape: Shape, queue: _Queue) -> None:
        """Ask Ray for as many leases as there are attempts for, and room."""
        while queue.asked < len(queue.waiting) and queue.asked + queue.alive < self._room(shape[0]):
            remote: Any = self._remotes.get(shape)
            if remote is None:
                remote = self._remotes[shape] = ray.remote(serve).options(
                    num_cpus=shape[0], num_returns=1 + shape[1], max_retries=0
                )
            number = next(self._numbers)
            call, *values = remote.remote(self._setting, number, shape[1])
            lease = self._leases[number] = Lease(number, shape, values)
            queue.asked += 1

            def over(future: Any, lease: Lease = lease) -> None:
                self._loop.wake(partial(self._over, lease, future))

            call.future().add_done_callback(over)
            self.give_way()

    def _next(self, lease: Lease, queue: _Queue) -> None:
        """Give an idle worker its next attempt; where none waits it is kept a moment, or let go."""
        if lease.over or lease.attempt is not None:
            return
        if time.monotonic() - lease.since > LEASE_SECONDS:
            self._end(lease)
        elif queue.waiting:
            self._give(lease, queue)
        else:
            queue.idle.append(lease)

    def _settle(self, lease: Lease, queue: _Queue) -> None:
        """Let an idle worker go, at once or soon."""
        if lease in queue.idle:
            if self._others() or self.asked:
                self._let_go(lease, queue)
            else:
                self._loop.later(
                    LINGER_SECONDS, partial(self._let_go, lease, queue, lease.attempts)
                )

    def _let_go(self, lease: Lease, queue: _Queue, attempts: int | None = None) -> None:
        if lease in queue.idle and attempts in (None, lease.attempts):
            queue.idle.remove(lease)
            self._end(lease)

    def _give(self, lease: Lease, queue: _Queue) -> None:
        seat = lease.seat
        assert seat is not None, "a lease without a worker is not idle"
        attempt = queue.waiting.popleft()
        request, number, code = self._hand(attempt)
        new = number not in seat.codes
        handed = Handed(request, number, code if new else b"", attempt.inputs)
        lease.attempt, attempt.lease = attempt, lease
        lease.attempts += 1
        seat.codes.add(number)
        try:
            seat.wire.send(pickle.dumps(handed, protocol=5))
        except OSError:  # it died, or hangs; nobody has the attempt
            lease.over, lease.attempt, attempt.lease = True, None, None
            queue.waiting.appendleft(attempt)
            self._hang_up(seat)

    def _end(self, lease: Lease) -> None:
        """Hand it nothing more: its worker goes back to Ray."""
        lease.over = True
        if lease.seat is not None:
            with contextlib.suppress(OSError):
                lease.seat.wire.send(END)

    def _over(self, lease: Lease, future: Any) -> None:
        """Ray has the end of a lease."""
        queue = self._queues[lease.shape]
        self._leases.pop(lease.number, None)
        error = future.exception()
        seat, lease.over = lease.seat, True
        if lease in queue.idle:
            queue.idle.remove(lease)
        if seat is None:
            queue.asked -= 1
        else:
            queue.alive -= 1
            if error is not None:
                self._drain(seat)
        attempt, lease.attempt = lease.attempt, None
        if attempt is None and error is not None and seat is None and queue.waiting:
            attempt = queue.waiting.popleft()  # or there would be no end of asking
        if attempt is not None:
            attempt.unread = seat is not None and seat.unread
            if error is None and (packed := future.result()):
                self._done(attempt, Outcome.unpacked(packed), lease.values)
            else:
                self._failed(attempt, error or ConnectionError("The worker's connection broke."))
        self._ask(lease.shape, queue)

    # -- workers ---------------------------------------------------------------------------------

    def _sit(self, connection: Connection) -> None:
        seat = Seat(Wire(connection, SEND_SECONDS))
        self._seats.add(seat)
        self._loop.watch(seat.wire.fileno(), partial(self._hear, seat))

    def _hear(self, seat: Seat) -> None:
        try:
            found = seat.wire.read()
        except (EOFError, OSError) as error:
            seat.unread = isinstance(error, ConnectionResetError)
            self._hang_up(seat)
            return
        for data in found:
            message = cloudpickle.loads(data)
            if isinstance(message, Ready):
                self._ready(seat, message)
            else:
                self._ended(seat, message)

    def _hang_up(self, seat: Seat) -> None:
        if seat.open:
            seat.open = False
            self._loop.unwatch(seat.wire.fileno())
            self._seats.discard(seat)
            seat.wire.close()

    def _ready(self, seat: Seat, message: Ready) -> None:
        lease = self._leases.get(message.lease)
        if lease is None:  # Ray has given it up, though it lives
            with contextlib.suppress(OSError):
                seat.wire.send(END)
            return
        seat.lease, lease.seat = lease, seat
        lease.pid, lease.node, lease.since = message.pid, message.node, time.monotonic()
        queue = self._queues[lease.shape]
        queue.asked -= 1
        queue.alive += 1
        self._next(lease, queue)
        self._settle(lease, queue)

    def _ended(self, seat: Seat, message: Done) -> None:
        lease = seat.lease
        if lease is None or lease.attempt is None:
            return
        attempt, lease.attempt = lease.attempt, None
        queue = self._queues[lease.shape]
        self._next(lease, queue)  # before all else: the worker waits
        self._done(attempt, Outcome.unpacked(message.outcome), message.values)
        self._settle(lease, queue)

    def _drain(self, seat: Seat) -> None:
        """Hear all that a dead worker had said; a child of its may hold the wire open."""
        while seat.open and select.select([seat.wire], [], [], REST_SECONDS)[0]:
            self._hear(seat)
