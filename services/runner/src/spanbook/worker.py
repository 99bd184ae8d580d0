"""What runs on a worker: an attempt of a task, in a warm process."""

import contextlib
import ctypes
import os
import pickle
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import ray
from spanbook_runfile import names
from spanbook_runfile.names import ArtifactKind, Event, Result, TaskType

from spanbook import failure, values
from spanbook.attempt import AttemptSpec, record_parameters, run_python
from spanbook.capture import Rest, capture
from spanbook.emitter import Batch, Emitter, joined
from spanbook.errors import KernelError, TaskError
from spanbook.isolation import isolated
from spanbook.log import recording
from spanbook.masking import Masker
from spanbook.relay import Address, Line, Records, Started, Stash, Stopped
from spanbook.settings import Limits
from spanbook.ticker import ticker
from spanbook.tracking import mlflow_client, variables
from spanbook.usage import sampler
from spanbook.withholding import secret_in, withhold

if TYPE_CHECKING:
    from spanbook.task import Task

KEPT = "result.pickle"  # where a kept result is recorded
MARKER = "SPANBOOK_ATTEMPT_ID"  # in the environment of whatever an attempt starts
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Setting:
    """What all attempts of a run have in common; a worker unpickles it once."""

    run_id: str
    pipeline: str
    limits: Limits
    relay: Address
    secrets: frozenset[str] = frozenset()  # of the driver's environment, where that is not ours
    mlflow: str = ""  # where MLflow's client finds the collector


class Request(NamedTuple):
    """What the driver asks of a worker."""

    task_id: str
    task: str  # its name
    span_id: str
    number: int
    arguments: bytes  # with slots, pickled
    upstream: tuple[str, ...]
    n_outputs: int
    timed: bool  # there is a time limit: say at once that the attempt began

    def packed(self) -> bytes:
        """The request as bytes: Ray passes them on as they are, and pickles anything else at length."""
        return pickle.dumps(tuple(self), protocol=5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, and what it recorded last. Times in ns."""

    result: Result
    start: int
    running: int
    end: int
    pid: int
    node: str
    host: str
    sent: int = 0  # messages that went by the relay
    batch: Batch = field(default_factory=Batch)
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    retry: bool = True

    def packed(self) -> bytes:
        """The outcome as bytes, for the same reason."""
        return pickle.dumps([getattr(self, key) for key in self.__slots__], protocol=5)

    @classmethod
    def unpacked(cls, data: bytes) -> "Outcome":
        """The outcome that a worker packed."""
        return cls(*cloudpickle.loads(data))


def run_attempt(setting: bytes, task: bytes, packed: bytes, *inputs: Any) -> tuple[Any, ...]:
    """Run one attempt; returns its :class:`Outcome`, packed, and the task's values or Nones."""
    outcome, outputs = attempted(setting, task, Request(*cloudpickle.loads(packed)), inputs)
    return (outcome.packed(), *outputs)


def attempted(
    setting: bytes, task: bytes, request: Request, inputs: Sequence[Any]
) -> tuple[Outcome, Sequence[Any]]:
    """Run one attempt: how it ended, and the task's values or Nones."""
    attempt = _Attempt(setting_of(setting), request)
    loaded: Task[..., Any] | None = None
    outputs: Sequence[Any] = ()
    error: BaseException | None = None
    trace = None
    with attempt.recording():
        try:
            loaded = _load(task)
            outputs = attempt.run(loaded, inputs)
        except BaseException as raised:  # noqa: BLE001 (SystemExit too is the task's failure)
            error, trace = raised, failure.user_frames(raised)
            attempt.record_error(raised, trace)
    outcome = attempt.close(error, trace, loaded)
    return outcome, outputs if error is None else (None,) * request.n_outputs


class _Attempt:
    """One attempt, from the worker's side; what its code sees as its ``Control``."""

    def __init__(self, setting: Setting, request: Request) -> None:
        _masker().add(setting.secrets)
        self.setting, self.request = setting, request
        self.start = time.time_ns()
        self.began = 0
        self.failed = False
        self._told = False
        self._sent = 0
        self._lock = threading.RLock()  # again by its own thread: in a signal handler that prints
        self._callbacks: list[Callable[[], None]] = []
        self._thread = threading.get_ident()
        self._rest = Rest(self._stash_copy)
        self.line = _line(setting.relay)
        self.emitter = Emitter(
            setting.run_id, request.span_id, self._send_batch, masker=_masker(), at_once=True
        )

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Output is captured and usage sampled; subprocesses can be known as this attempt's."""
        _adopt_orphans()
        os.environ[MARKER] = self.request.span_id
        os.environ["TRACEPARENT"] = f"00-{self.setting.run_id}-{self.request.span_id}-01"
        self.line.on_stop(self.request.span_id, self._stop)
        ticker.add(self._tell)
        try:
            limits, mlflow = self.setting.limits, self._mlflow()
            with (
                isolated(),
                capture(self.emitter, limits.max_output_bytes),
                recording(self.emitter, limits),
                sampler(self.emitter, limits.usage_interval),
                mlflow_client(mlflow, self.emitter.masker, lambda: self.failed),
            ):
                if mlflow and "mlflow" in sys.modules:
                    self._tell(now=True)  # its first call comes soon, and waits for this
                yield
        finally:
            ticker.remove(self._tell)
            self.line.on_stop(self.request.span_id, None)

    def run(self, task: "Task[..., Any]", inputs: Sequence[Any]) -> Sequence[Any]:
        """Run the task's code and hand its values over."""
        spec = self._spec(task, inputs)
        record_parameters(spec.arguments, spec.upstream, self.emitter)
        if task.type is TaskType.NOTEBOOK:
            from spanbook.notebook import run_notebook  # noqa: PLC0415

            value = run_notebook(spec, self.emitter, self)
        else:
            ticker.add(self._rest.tick)
            try:
                value = run_python(spec, self.emitter, self)
            finally:
                ticker.remove(self._rest.tick)
        outputs = values.outputs_of(task, value)
        packed = values.packed(task.name, outputs)
        if task.policy.keep:
            self._keep(values.kept(outputs))
        return packed

    def _keep(self, data: bytes) -> None:
        """Record what the task returns, unless that holds a secret: then a rerun makes it again."""
        variable = secret_in(self.emitter.masker, data)
        if variable:
            withhold(self.emitter, KEPT, len(data), variable)
            return
        self.emitter.artifact(
            KEPT, data, media_type="application/octet-stream", kind=ArtifactKind.RESULT
        )

    def _spec(self, task: "Task[..., Any]", inputs: Sequence[Any]) -> AttemptSpec:
        request = self.request
        return AttemptSpec(
            run_id=self.setting.run_id,
            task_id=request.task_id,
            span_id=request.span_id,
            number=request.number,
            name=task.name,
            type=task.type,
            function=task.function,
            notebook=task.notebook,
            arguments=values.with_values(task.name, values.loaded(request.arguments), inputs),
            upstream=frozenset(request.upstream),
            limits=self.setting.limits,
        )

    def _mlflow(self) -> Mapping[str, str]:
        setting, request = self.setting, self.request
        return variables(
            setting.mlflow, setting.pipeline, request.task, setting.run_id, request.span_id
        )

    # -- Control -------------------------------------------------------------------------

    def running(self) -> None:
        """The user's own code begins now."""
        self.began = time.time_ns()
        if self.request.timed or self._told:
            self.emitter.flush()  # the parameters: who sends anyway sends them along
            self._tell(now=True)

    def stash(self, batch: Batch) -> None:
        """Have the driver keep ``batch``, for the case that this attempt dies."""
        if not self._told:
            self._tell(now=True)
        self._send(Stash(self.request.span_id, batch))

    def _stash_copy(self, record: Callable[[Emitter], None]) -> None:
        """Stash what ``record`` records."""
        batches: list[Batch] = []
        origin = f"s{time.monotonic_ns()}."
        run_id, span_id = self.setting.run_id, self.request.span_id
        scratch = Emitter(
            run_id, span_id, batches.append, masker=self.emitter.masker, origin=origin
        )
        record(scratch)
        batches.append(scratch.close())
        self.stash(joined(batches))

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` shortly before this attempt is killed."""
        self._callbacks.append(callback)

    # -- to and from the driver ----------------------------------------------------------

    def _tell(self, *, now: bool = False) -> None:
        """Say that the attempt has begun: at once where it matters, else if it takes long."""
        if now or (not self._told and time.time_ns() - self.start > 80_000_000):
            self._told = True
            pid, node, host = place()
            self._send(Started(self.request.span_id, pid, node, host, self.start, self.began))

    def _send_batch(self, batch: Batch) -> None:
        if not self._told:
            self._tell(now=True)  # whoever is heard of is known to have begun
        self._send(Records(self.request.span_id, batch))

    def _send(self, message: Started | Records | Stash | Stopped) -> None:
        with self._lock:  # counted in the order sent
            self.line.send(message)
            self._sent += 1

    def _stop(self, reason: str) -> None:
        """The driver is about to kill this process: save what can be saved."""
        frame = sys._current_frames().get(self._thread)
        with contextlib.suppress(OSError):
            if frame is not None and not self._callbacks:
                stack = [
                    f
                    for f in traceback.extract_stack(frame)
                    if not failure.is_framework(f.filename)
                ]
                self.emitter.event(
                    Event.EXCEPTION,
                    None,
                    {
                        names.EXCEPTION_TYPE: "Stopped",
                        names.EXCEPTION_MESSAGE: reason,
                        names.EXCEPTION_STACKTRACE: "The task was here (most recent call last):\n"
                        + "".join(traceback.format_list(stack)),
                    },
                )
            self.emitter.flush()  # before whatever may take longer than there is time
            if not self._callbacks:
                self._rest.stash()
            for callback in self._callbacks:
                with contextlib.suppress(Exception):
                    callback()
            self.emitter.flush()
            self._send(Stopped(self.request.span_id))

    # -- the end -------------------------------------------------------------------------

    def record_error(self, error: BaseException, trace: str) -> None:
        """Record the exception that ended the attempt."""
        self.failed = True
        self.emitter.event(
            Event.EXCEPTION,
            None,
            {
                names.EXCEPTION_TYPE: failure.type_name(error),
                names.EXCEPTION_MESSAGE: failure.message(error),
                names.EXCEPTION_STACKTRACE: trace,
            },
            at_once=False,
        )

    def close(
        self, error: BaseException | None, trace: str | None, task: "Task[..., Any] | None"
    ) -> Outcome:
        """The outcome, with all that was recorded and not yet sent."""
        end = time.time_ns()
        batch = self.emitter.close()
        pid, node, host = place()
        masker = self.emitter.masker
        with self._lock:
            sent = self._sent
        return Outcome(
            result=_result(error),
            start=self.start,
            running=self.began,
            end=end,
            pid=pid,
            node=node,
            host=host,
            sent=sent,
            batch=batch,
            error_type="" if error is None else failure.type_name(error),
            error_message="" if error is None else masker.text(failure.message(error)),
            traceback="" if trace is None else masker.text(trace),
            retry=error is None or failure.wants_retry(task, error),
        )


def _result(error: BaseException | None) -> Result:
    if error is None:
        return Result.SUCCESS
    # A dead kernel is as a dead worker: something from outside, not a fault in the user's code.
    return Result.ERROR if isinstance(error, KernelError) else Result.FAILURE


@cache
def setting_of(packed: bytes) -> Setting:
    """The setting that the driver packed."""
    setting: Setting = cloudpickle.loads(packed)
    return setting


@cache
def _line(address: Address) -> Line:
    return Line(address)


@cache
def _masker() -> Masker:
    return Masker()


@cache
def place() -> tuple[int, str, str]:
    """This process's id, Ray node and host name."""
    return os.getpid(), ray.get_runtime_context().get_node_id(), platform.node()


@cache
def _adopt_orphans() -> None:
    """Children of children come to this process when their parent ends, so that a kill finds them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


_tasks: dict[bytes, Any] = {}


def _load(dumped: bytes) -> "Task[..., Any]":
    """The task, unpickled once a process."""
    found: Task[..., Any] | None = _tasks.get(dumped)
    if found is None:
        found = cloudpickle.loads(dumped)
        if found is None:
            raise TaskError(
                "The task's code is not found on this worker. A pipeline module must define the "
                "task under the same name wherever it is imported."
            )
        if len(_tasks) > 1000:
            _tasks.clear()
        _tasks[dumped] = found
    return found
