"""Attempts: each is handed to a worker under lease or is a call of Ray, watched until it ends, stopped if it must."""

import pickle
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from spanbook_runfile.names import Result

from spanbook import values, worker
from spanbook.attempt import parameters_batch
from spanbook.emitter import Batch, joined
from spanbook.errors import TaskError
from spanbook.faults import cause, lost_ref
from spanbook.ids import new_span_id
from spanbook.kill import Killer
from spanbook.lease import HANDED_BYTES, Leases
from spanbook.loop import Loop
from spanbook.nodes import TaskNode
from spanbook.recorder import Recorder
from spanbook.relay import Message, Records, Relay, Started, Stash, Stopped
from spanbook.settings import Limits
from spanbook.tries import Ended, Try
from spanbook.values import Inline
from spanbook.worker import Outcome, Request, Setting

STOP_SECONDS = 1.0  # at most, between the notice to an attempt and its end: 2 are promised
DEATH_SECONDS = 5.0  # for Ray to notice that a killed worker is gone
LOCALHOST = "127.0.0.1"
WINDOW = 64  # attempts at Ray's at a time, beside four for each CPU


class Dispatcher:
    """Gives attempts to workers, and tells how they ended; on the driver's main thread.

    An attempt whose inputs the driver holds goes to a worker under lease; one whose inputs are in
    Ray's store is a call of its own, so that Ray brings them.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        host: str,
        cpus: float,
        limits: Limits,
        mlflow: str,
        on_start: Callable[[Try], None],
        on_end: Callable[[Ended], None],
    ) -> None:
        self._recorder = recorder
        self._limits = limits
        self._on_start, self._on_end = on_start, on_end
        self.loop = Loop()
        self.later, self.afterwards = self.loop.later, self.loop.afterwards
        self._home = ray.get_runtime_context().get_node_id()
        self._killer = Killer(self._home)
        self.relay = Relay(host, self._hear, self._seat)
        # Workers of this machine inherit the environment that the secrets are in.
        self.local = host == LOCALHOST
        hidden = frozenset[str]() if self.local else recorder.masker.secrets
        setting = Setting(
            recorder.run_id, recorder.pipeline, limits, self.relay.address, hidden, mlflow
        )
        self._setting = pickle.dumps(setting, protocol=5)
        self._cpus = cpus
        self._waiting: deque[Try] = deque()
        self._running: dict[str, Try] = {}
        self._window = WINDOW + int(4 * cpus)
        self._remotes: dict[tuple[float, int], Any] = {}
        self._code: dict[int, Any] = {}
        self._last_kill = 0.0
        self._calls = 0  # of Ray that are not over
        self._leases = Leases(
            self.loop,
            self._setting,
            room=self._room,
            others=lambda: self._calls > 0,
            hand=self._hand,
            done=self._finished,
            failed=self._failed,
        )

    # -- what the schedule asks for --------------------------------------------------------

    def submit(
        self, node: TaskNode, number: int, arguments: Mapping[str, Any], inputs: Sequence[Any]
    ) -> Try:
        """Queue one attempt of a task."""
        attempt = Try(node, number, new_span_id(), time.time_ns(), arguments, inputs)
        self._queue(attempt)
        return attempt

    def helper(self, function: Callable[..., Any], outputs: int = 1) -> Any:
        """A function that Ray calls on the driver's own node: what it makes lives as long as the run."""
        here = NodeAffinitySchedulingStrategy(self._home, soft=True)
        options = {"num_cpus": 0, "num_returns": outputs, "scheduling_strategy": here}
        return ray.remote(function).options(**options)

    def ask(self, ref: Any, answer: Callable[[Any], None]) -> None:
        """Call ``answer`` on the main thread with the value of a helper's ObjectRef, or its error."""
        limit = self._limits.begin_limit
        answered = False

        def once(value: Any) -> None:
            nonlocal answered
            if not answered:
                answered = True
                answer(value)

        def give_up() -> None:
            if not answered:
                ray.cancel(ref, force=True)
                once(
                    TaskError(
                        f"it could not be looked at within {limit:g} s: unpickling it hangs. What only "
                        "takes long has more time with SPANBOOK_BEGIN_LIMIT."
                    )
                )

        def done(future: Any) -> None:
            error = future.exception()
            value = error if error is not None else future.result()
            self.loop.wake(lambda: once(value))

        self.later(limit, give_up)
        ref.future().add_done_callback(done)

    def stop_all(self, reason: str) -> None:
        """Cancel every attempt: those that wait are dropped, those that run are stopped."""
        waiting = [*self._waiting, *self._leases.drop()]
        self._waiting.clear()
        for attempt in waiting:
            self._end(attempt, self._made_up(attempt, Result.CANCELLATION, "Cancelled", reason))
        for attempt in list(self._running.values()):
            if attempt.started is None and attempt.call is not None:
                ray.cancel(attempt.call, force=False)
            self._stop(attempt, Result.CANCELLATION, reason)

    def close(self) -> None:
        """Hang up on the workers."""
        self._leases.close()
        self.relay.close()
        self.loop.close()

    # -- to workers ---------------------------------------------------------------------------

    def _queue(self, attempt: Try) -> None:
        sizes = [value.size if type(value) is Inline else HANDED_BYTES for value in attempt.inputs]
        # On a cluster leases would often stand still when a node has died, until Ray knows.
        if self.local and sum(sizes) < HANDED_BYTES:
            task = attempt.node.task
            self._leases.take(attempt, (task.policy.cpus, task.n_outputs))
        else:
            self._waiting.append(attempt)
            self._pump()

    def _room(self, cpus: float) -> int:
        """How many attempts that take so many CPUs may be at work."""
        return max(1, int(self._cpus / cpus)) if cpus else self._window

    def _hand(self, attempt: Try) -> tuple[bytes, int, bytes]:
        """What a worker is told of an attempt that it is given now."""
        attempt.handed = time.time_ns()
        self._running[attempt.span_id] = attempt
        task = attempt.node.task
        return self._request(attempt), id(task), task.dumped()

    def _pump(self) -> None:
        while self._waiting and self._calls < self._window:
            attempt = self._waiting.popleft()
            self._running[attempt.span_id] = attempt
            self._calls += 1
            self._leases.give_way()
            self._call(attempt)

    def _request(self, attempt: Try) -> bytes:
        node = attempt.node
        task = node.task
        return Request(
            task_id=node.id,
            task=task.name,
            span_id=attempt.span_id,
            number=attempt.number,
            arguments=values.dumped(attempt.arguments),
            upstream=tuple(dict.fromkeys(node.slot_arguments)),
            n_outputs=task.n_outputs,
            timed=task.policy.timeout is not None,
        ).packed()

    def _call(self, attempt: Try) -> None:
        task = attempt.node.task
        key = (task.policy.cpus, task.n_outputs)
        remote = self._remotes.get(key)
        if remote is None:
            remote = self._remotes[key] = ray.remote(worker.run_attempt).options(
                num_cpus=key[0], num_returns=1 + key[1], max_retries=0
            )
        attempt.call, *attempt.values = remote.remote(
            self._setting, self._code_of(attempt.node), self._request(attempt), *attempt.inputs
        )

        def done(future: Any) -> None:
            self.loop.wake(lambda: self._done(attempt, future))

        attempt.call.future().add_done_callback(done)

    def _code_of(self, node: TaskNode) -> Any:
        """The pickled task; a large one goes into Ray's store once."""
        found = self._code.get(id(node.task))
        if found is None:
            dumped = node.task.dumped()
            found = dumped if len(dumped) < 4096 else ray.put(dumped)
            self._code[id(node.task)] = found
        return found

    # -- from workers -----------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        """Take a message; on a thread of the relay."""
        attempt = self._running.get(message.span_id)
        if attempt is None or attempt.ended:
            return
        if isinstance(message, Records):
            attempt.heard = True
            self._recorder.add(message.batch)
        elif isinstance(message, Stash):
            attempt.stash = message.batch
        elif isinstance(message, Started):
            self.loop.wake(lambda: self._started(attempt, message))
        elif isinstance(message, Stopped):
            self.loop.wake(lambda: self._kill(attempt))

    def _seat(self, connection: Connection) -> None:
        """Take the connection of a worker under lease; on a thread of the relay."""
        self._leases.seat(connection)

    def _started(self, attempt: Try, message: Started) -> None:
        first = attempt.started is None
        attempt.started = message
        if attempt.ended:
            return
        if first:
            self._killer.watch(message.node)
            self._on_start(attempt)
            self.later(self._limits.begin_limit, lambda: self._never_began(attempt))
        limit = attempt.node.task.policy.timeout
        if limit is not None and message.running:
            # This thread may be late; the clock of another machine may be wrong.
            late = (time.time_ns() - message.running) / 1e9 if message.node == self._home else 0.0
            self.later(limit - max(0.0, late), lambda: self._time_out(attempt, limit))
        if attempt.doom:  # it was stopped before it could be reached
            self.relay.stop(attempt.span_id, attempt.reason)

    def _done(self, attempt: Try, future: Any) -> None:
        """Ray has the outcome of a call, or an error instead."""
        self._calls -= 1
        error = future.exception()
        if error is None:
            self._finished(attempt, Outcome.unpacked(future.result()), attempt.values)
        else:
            self._failed(attempt, error)
        self._pump()

    def _finished(self, attempt: Try, outcome: Outcome, values: Sequence[Any]) -> None:
        """An attempt has come to an end of its own."""
        if attempt.ended:
            return
        if outcome.sent:
            self.relay.wait(attempt.span_id, outcome.sent)
        if attempt.doom:
            kind = attempt.doom_type
            outcome = replace(
                outcome, result=attempt.doom, error_type=kind, error_message=attempt.reason
            )
        attempt.values = values
        self._end(attempt, outcome)

    def _failed(self, attempt: Try, error: BaseException) -> None:
        """The worker of an attempt has come to an end, or there is none."""
        if attempt.ended:
            return
        attempt.over = attempt.over or time.time_ns()
        if attempt.place and not attempt.killed:  # a child may hold the line open
            self._killer.kill(attempt.place, None, attempt.span_id)
        self.relay.wait_closed(attempt.span_id)
        if attempt.doom:
            self._end(
                attempt, self._made_up(attempt, attempt.doom, attempt.doom_type, attempt.reason)
            )
        elif attempt.started is None and (
            attempt.unread  # nobody has begun it
            # Its worker was killed for the attempt before, in the moment when that one ended.
            or (attempt.lease is None and time.monotonic() - self._last_kill < 3)
        ):
            self._running.pop(attempt.span_id, None)
            self.submit(attempt.node, attempt.number, attempt.arguments, attempt.inputs)
        else:
            kind, message = cause(error)
            lost = lost_ref(error) if attempt.started is None else ""
            self._end(attempt, self._made_up(attempt, Result.ERROR, kind, message), lost)

    # -- the end of an attempt --------------------------------------------------------------

    def _time_out(self, attempt: Try, limit: float) -> None:
        self._stop(
            attempt, Result.TIMEOUT, f"The attempt ran longer than its limit of {limit:g} s."
        )

    def _never_began(self, attempt: Try) -> None:
        """A time limit counts from the user's first line; what never comes there is stuck too."""
        if attempt.started is not None and not attempt.started.running:
            self._stop(
                attempt,
                Result.ERROR,
                f"The task's own code had not begun after {self._limits.begin_limit:g} s: an import of its "
                "module, the unpickling of a value or a notebook's kernel hangs. What only takes long has "
                "more time with SPANBOOK_BEGIN_LIMIT.",
            )

    def _stop(self, attempt: Try, doom: Result, reason: str) -> None:
        if attempt.ended or attempt.doom:
            return
        attempt.doom, attempt.reason = doom, reason
        self.relay.stop(attempt.span_id, reason)
        self.later(STOP_SECONDS, lambda: self._kill(attempt))

    def _kill(self, attempt: Try) -> None:
        if attempt.ended or attempt.killed:
            return
        attempt.killed = True
        self._last_kill = time.monotonic()
        if attempt.lease is not None:
            attempt.lease.over = True
            self._killer.kill(attempt.lease.node, attempt.lease.pid, attempt.span_id)
        elif attempt.started is not None:
            self._killer.kill(attempt.started.node, attempt.started.pid, attempt.span_id)
        else:
            ray.cancel(attempt.call, force=True)
        attempt.over = time.time_ns()
        self.later(DEATH_SECONDS, lambda: self._give_up(attempt))

    def _give_up(self, attempt: Try) -> None:
        if not attempt.ended:
            doom = attempt.doom or Result.ERROR
            self._end(attempt, self._made_up(attempt, doom, attempt.doom_type, attempt.reason))

    def _made_up(self, attempt: Try, result: Result, kind: str, message: str) -> Outcome:
        """The outcome of an attempt that could not give its own, with what is known of it here."""
        batches = [] if attempt.stash is None else [attempt.stash]
        if not attempt.heard and (attempt.call is not None or attempt.lease is not None):
            batches.append(self._parameters(attempt))
        return attempt.made_up(result, kind, message, joined(batches))

    def _parameters(self, attempt: Try) -> Batch:
        recorder = self._recorder
        upstream = attempt.node.slot_arguments
        return parameters_batch(
            recorder.run_id, attempt.span_id, attempt.arguments, upstream, recorder.masker
        )

    def _end(self, attempt: Try, outcome: Outcome, lost: str = "") -> None:
        attempt.ended = True
        self._running.pop(attempt.span_id, None)
        self.relay.forget(attempt.span_id)
        self.afterwards(partial(self._recorder.add, outcome.batch))
        refs = attempt.values if outcome.result is Result.SUCCESS else ()
        self._on_end(Ended(attempt, outcome, refs, lost))
