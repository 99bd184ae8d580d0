"""The one function that Ray runs: an attempt of a task, in a warm worker process."""

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
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cloudpickle
import ray
from spanbook_runfile import names
from spanbook_runfile.names import ArtifactKind, Event, Result, TaskType

from spanbook.attempt import AttemptSpec, record_parameters, run_python
from spanbook.capture import capture
from spanbook.dag import fill
from spanbook.emitter import Batch, Emitter
from spanbook.errors import TaskError
from spanbook.log import recording
from spanbook.masking import Masker
from spanbook.relay import Address, Line, Records, Started, Stash, Stopped
from spanbook.settings import Limits
from spanbook.ticker import ticker
from spanbook.tracking import mlflow_client
from spanbook.usage import sampler

if TYPE_CHECKING:
    from spanbook.task import Task

MARKER = "SPANBOOK_ATTEMPT_ID"  # in the environment of whatever an attempt starts
_FRAMEWORK = tuple(os.path.dirname(m) + os.sep for m in (__file__, ray.__file__))  # noqa: PTH120
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Request:
    """What the driver asks of a worker."""

    run_id: str
    task_id: str
    span_id: str
    number: int
    arguments: Mapping[str, Any]  # with slots
    upstream: frozenset[str]
    n_outputs: int
    timed: bool  # there is a time limit: say at once that the attempt began
    limits: Limits
    relay: Address
    mlflow: Mapping[str, str] = field(default_factory=dict)  # variables for MLflow's client


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


def run_attempt(request: Request, task: bytes, *values: Any) -> tuple[Any, ...]:
    """Run one attempt; returns its :class:`Outcome`, and the task's values or Nones."""
    attempt = _Attempt(request)
    loaded: Task[..., Any] | None = None
    outputs: Sequence[Any] = ()
    error: BaseException | None = None
    trace = None
    with attempt.recording():
        try:
            loaded = _load(task)
            outputs = attempt.run(loaded, values)
        except BaseException as raised:  # noqa: BLE001 (SystemExit too is the task's failure)
            error, trace = raised, _user_frames(raised)
            attempt.record_error(raised, trace)
    outcome = attempt.close(error, trace, loaded)
    return (outcome, *(outputs if error is None else (None,) * request.n_outputs))


class _Attempt:
    """One attempt, from the worker's side; what its code sees as its ``Control``."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.start = time.time_ns()
        self.began = 0
        self.failed = False
        self._told = False
        self._sent = 0
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._thread = threading.get_ident()
        self.line = _line(request.relay)
        self.emitter = Emitter(request.run_id, request.span_id, self._send_batch, masker=_masker())

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Output is captured and usage sampled; subprocesses can be known as this attempt's."""
        _adopt_orphans()
        os.environ[MARKER] = self.request.span_id
        os.environ["TRACEPARENT"] = f"00-{self.request.run_id}-{self.request.span_id}-01"
        self.line.on_stop(self.request.span_id, self._stop)
        ticker.add(self._tell)
        try:
            limits = self.request.limits
            with (
                capture(self.emitter, limits.max_output_bytes),
                recording(self.emitter, limits),
                sampler(self.emitter, limits.usage_interval),
                mlflow_client(self.request.mlflow, self.emitter.masker, lambda: self.failed),
            ):
                if self.request.mlflow and "mlflow" in sys.modules:
                    self._tell(now=True)  # its first call comes soon, and waits for this
                yield
        finally:
            ticker.remove(self._tell)
            self.line.on_stop(self.request.span_id, None)

    def run(self, task: "Task[..., Any]", values: Sequence[Any]) -> Sequence[Any]:
        """Run the task's code and hand its values over."""
        spec = self._spec(task, values)
        record_parameters(spec, self.emitter)
        if task.type is TaskType.NOTEBOOK:
            from spanbook.notebook import run_notebook  # noqa: PLC0415

            value = run_notebook(spec, self.emitter, self)
        else:
            value = run_python(spec, self.emitter, self)
        outputs = _outputs(task, value)
        for number, output in enumerate(outputs):
            _check_value(task.name, output, number if len(outputs) > 1 else None)
        if task.policy.keep:
            self.emitter.artifact(
                "result.pickle",
                pickle.dumps(list(outputs), protocol=5)
                if all(type(o) in _PLAIN for o in outputs)
                else cloudpickle.dumps(list(outputs)),
                media_type="application/octet-stream",
                kind=ArtifactKind.RESULT,
            )
        return outputs

    def _spec(self, task: "Task[..., Any]", values: Sequence[Any]) -> AttemptSpec:
        request = self.request
        return AttemptSpec(
            run_id=request.run_id,
            task_id=request.task_id,
            span_id=request.span_id,
            number=request.number,
            name=task.name,
            type=task.type,
            function=task.function,
            notebook=task.notebook,
            arguments=_arguments(task.name, request.arguments, values),
            upstream=request.upstream,
            limits=request.limits,
        )

    # -- Control -------------------------------------------------------------------------

    def running(self) -> None:
        """The user's own code begins now."""
        self.began = time.time_ns()
        if self.request.timed or self._told:
            self._tell(now=True)

    def stash(self, batch: Batch) -> None:
        """Have the driver keep ``batch``, for the case that this attempt dies."""
        self._send(Stash(self.request.span_id, batch))

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` shortly before this attempt is killed."""
        self._callbacks.append(callback)

    # -- to and from the driver ----------------------------------------------------------

    def _tell(self, *, now: bool = False) -> None:
        """Say that the attempt has begun: at once where it matters, else if it takes long."""
        if now or (not self._told and time.time_ns() - self.start > 80_000_000):
            self._told = True
            pid, node, host = _place()
            self._send(Started(self.request.span_id, pid, node, host, self.start, self.began))

    def _send_batch(self, batch: Batch) -> None:
        self._send(Records(self.request.span_id, batch))

    def _send(self, message: Started | Records | Stash | Stopped) -> None:
        with self._lock:  # counted in the order sent
            self.line.send(message)
            self._sent += 1

    def _stop(self, reason: str) -> None:
        """The driver is about to kill this process: save what can be saved."""
        frame = sys._current_frames().get(self._thread)
        if frame is not None and not self._callbacks:
            stack = [f for f in traceback.extract_stack(frame) if not _is_framework(f.filename)]
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
        for callback in self._callbacks:
            with contextlib.suppress(Exception):
                callback()
        with contextlib.suppress(OSError):
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
                names.EXCEPTION_TYPE: _type_name(error),
                names.EXCEPTION_MESSAGE: _message(error),
                names.EXCEPTION_STACKTRACE: trace,
            },
        )

    def close(
        self, error: BaseException | None, trace: str | None, task: "Task[..., Any] | None"
    ) -> Outcome:
        """The outcome, with all that was recorded and not yet sent."""
        end = time.time_ns()
        batch = self.emitter.close()
        pid, node, host = _place()
        masker = self.emitter.masker
        with self._lock:
            sent = self._sent
        return Outcome(
            result=Result.SUCCESS if error is None else Result.FAILURE,
            start=self.start,
            running=self.began,
            end=end,
            pid=pid,
            node=node,
            host=host,
            sent=sent,
            batch=batch,
            error_type="" if error is None else _type_name(error),
            error_message="" if error is None else masker.text(_message(error)),
            traceback="" if trace is None else masker.text(trace),
            retry=error is None or _wants_retry(task, error),
        )


def restore(data: bytes) -> tuple[Any, ...] | Any:
    """The values of a task that were kept in an earlier run's file."""
    values = cloudpickle.loads(data)
    return tuple(values) if len(values) != 1 else values[0]


def truth(value: Any, path: Sequence[Any]) -> bool:
    """Whether a value, or an item of it, is true: decides a branch."""
    return bool(_item(value, path))


def length(value: Any, path: Sequence[Any]) -> int:
    """How many items a mapped value has."""
    value = _item(value, path)
    try:
        return len(value)
    except TypeError:
        raise TaskError(
            f"a {type(value).__name__} cannot be mapped over: it has no length. Return a list."
        ) from None


def split(value: Any, path: Sequence[Any]) -> tuple[Any, ...] | Any:
    """The items of a mapped value, each to become a value of its own."""
    items = tuple(_item(value, path))
    return items if len(items) != 1 else items[0]


def _item(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


@cache
def _line(address: Address) -> Line:
    return Line(address)


@cache
def _masker() -> Masker:
    return Masker()


@cache
def _place() -> tuple[int, str, str]:
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


def _arguments(name: str, arguments: Mapping[str, Any], values: Sequence[Any]) -> dict[str, Any]:
    filled = {}
    for key, value in arguments.items():
        try:
            filled[key] = fill(value, values) if values else value
        except (LookupError, TypeError) as error:
            raise TaskError(
                f"The argument {key!r} of task {name!r} is an item of an upstream value, which has "
                f"no such item: {type(error).__name__}: {error}."
            ) from error
    return filled


def _outputs(task: "Task[..., Any]", value: Any) -> Sequence[Any]:
    if task.outputs is None:
        return (value,)
    if isinstance(task.outputs, tuple):
        if isinstance(value, Mapping) and set(task.outputs) <= set(value):
            return [value[name] for name in task.outputs]
        wanted = f"a dict with the keys {', '.join(task.outputs)}"
    else:
        if isinstance(value, list | tuple) and len(value) == task.outputs:
            return value
        wanted = f"a tuple or list of {task.outputs} values"
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    raise TaskError(
        f"Task {task.name!r} declares outputs={task.outputs!r} and so must return {wanted}; it "
        f"returned a {type(value).__name__}{size}."
    )


def _check_value(name: str, value: Any, number: int | None) -> None:
    """Find out here whether a value can leave this process; at Ray's hands the records would be lost."""
    if type(value) in _PLAIN:
        return
    dtype = getattr(value, "dtype", None)
    if type(value).__name__ == "ndarray" and dtype is not None and dtype.kind != "O":
        return
    try:
        cloudpickle.Pickler(_Nowhere(), protocol=5, buffer_callback=lambda _: None).dump(value)
    except Exception as error:
        which = "value" if number is None else f"output {number}"
        raise TaskError(
            f"The {which} that task {name!r} returned cannot be passed on: {type(value).__name__} "
            f"does not pickle ({error}). Return plain data, or what it can be made from again."
        ) from error


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


def _user_frames(error: BaseException) -> str:
    """The traceback as the user's own code sees it: without the frames of spanbook and Ray on top."""
    text = getattr(error, "stacktrace", None)
    if isinstance(text, str):
        return text
    shown: TracebackType | None = error.__traceback__
    while shown is not None and _is_framework(shown.tb_frame.f_code.co_filename):
        shown = shown.tb_next
    if shown is None and isinstance(error, TaskError):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(type(error), error, shown))


def _is_framework(filename: str) -> bool:
    return filename.startswith(_FRAMEWORK)


def _type_name(error: BaseException) -> str:
    override = getattr(error, "error_type", None)
    if isinstance(override, str):
        return override
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (a broken __str__ must not hide the error itself)
        text = "(its message cannot be shown)"
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({text})"
    return text


def _wants_retry(task: "Task[..., Any] | None", error: BaseException) -> bool:
    if task is None:
        return True
    try:
        return task.policy.wants_retry(error)
    except Exception as broken:  # noqa: BLE001 (the user's predicate)
        sys.stderr.write(f"retry_if of {task.name!r} raised {broken!r}; the task is retried.\n")
        return True
