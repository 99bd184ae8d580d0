"""Tasks: what ``@task`` and ``notebook_task`` make."""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import cloudpickle
from spanbook_runfile.names import TaskType

from spanbook.arguments import bind
from spanbook.attempt import NotebookSource
from spanbook.dag import current
from spanbook.errors import PipelineError
from spanbook.mapper import Mapper
from spanbook.nodes import Callee, Handle, Outputs
from spanbook.policy import Exponential, Policy, RetryIf
from spanbook.source import ANY_ARGUMENTS, CELL_DEFAULT, read_notebook

P = ParamSpec("P")
R = TypeVar("R")


class Task(Callee, Generic[P, R]):
    """A task. Called inside a pipeline it becomes a node of the DAG; anywhere else it just runs."""

    type = TaskType.PYTHON

    def __init__(
        self,
        function: Callable[P, R] | None,
        *,
        name: str,
        policy: Policy,
        outputs: int | tuple[str, ...] | None = None,
        signature: inspect.Signature,
        source: str,
        notebook: NotebookSource | None = None,
    ) -> None:
        self.function, self.name, self.policy = function, name, policy
        self.outputs, self.signature, self.source = outputs, signature, source
        self.notebook = notebook
        self.n_outputs = (
            1 if outputs is None else outputs if isinstance(outputs, int) else len(outputs)
        )
        self._dumped: bytes | None = None
        _check_name(name)
        policy.check(name)
        if function is not None:
            _check_function(name, function)
        if function is not None:
            functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """By reference where a module holds this task; else by value."""
        if self.function is not None:
            module = getattr(self.function, "__module__", None) or "__main__"
            path = getattr(self.function, "__qualname__", "<none>")  # of an object that is called
            if module != "__main__" and _lookup(module, path) is self:
                return _lookup, (module, path)
        return _rebuild, (dict(self.__dict__, _dumped=None),)

    def dumped(self) -> bytes:
        """The function, pickled for a worker.

        Raises:
            PipelineError: it holds something that does not pickle.
        """
        if self._dumped is None:
            try:
                self._dumped = cloudpickle.dumps(self)
            except Exception as error:
                for parameter in self.signature.parameters.values():
                    if (fault := _fault(parameter.default)) is not None:
                        raise PipelineError(
                            f"The default of the argument {parameter.name!r} of task {self.name!r} "
                            f"({self.source}) does not pickle ({fault}), so the task cannot be sent to a "
                            "worker. Make the default None, and create it inside the task."
                        ) from error
                raise PipelineError(
                    f"Task {self.name!r} ({self.source}) cannot be sent to a worker: it uses "
                    f"something from outside that does not pickle ({error}). Create that inside "
                    "the task, or at module level of an importable file."
                ) from error
        return self._dumped

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, defaults included.

        Raises:
            PipelineError: they do not fit the task's parameters.
        """
        bound = bind(f"Task {self.name!r}", self.signature, args, kwargs)
        bound.apply_defaults()
        if self.notebook is not None and self.signature == ANY_ARGUMENTS:
            return dict(kwargs)  # a notebook without a parameters cell
        return {k: v for k, v in bound.arguments.items() if v is not CELL_DEFAULT}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a call to the pipeline being built, or just call the function."""
        graph = current()
        if graph is None:
            return self._run_here(*args, **kwargs)
        self.dumped()
        node = graph.call(self, self.bind(args, kwargs))
        return cast("R", self._handles(node))

    def _run_here(self, *args: Any, **kwargs: Any) -> R:
        if self.function is None:
            raise PipelineError(
                f"The notebook task {self.name!r} was called outside a pipeline. Run the notebook "
                "in Jupyter or VS Code, or call the task inside a @pipeline."
            )
        return self.function(*args, **kwargs)

    def _handles(self, node: Any) -> Any:
        if self.outputs is None:
            return Handle(node)
        handles = tuple(Handle(node, number) for number in range(self.n_outputs))
        if isinstance(self.outputs, int):
            return handles
        return Outputs(self.name, zip(self.outputs, handles, strict=True))

    def partial(self, **fixed: Any) -> "Mapper":
        """This task with some arguments fixed, to be mapped over the others."""
        return Mapper(self.name, self, self.signature, fixed, sent=True)

    def map(self, *iterables: Any, **named: Any) -> Any:
        """Call this task once for each item; several iterables go side by side.

        Iterables may be known now, or be the results of tasks. Fix other arguments with
        :meth:`partial`.
        """
        return self.partial().map(*iterables, **named)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str = ...,
    cpus: float = ...,
    timeout: float | None = ...,
    retries: int = ...,
    backoff: float | Callable[[int], float] = ...,
    retry_if: RetryIf | None = ...,
    outputs: int | Sequence[str] | None = ...,
    keep: bool = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    cpus: float = 1.0,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float | Callable[[int], float] = 1.0,
    retry_if: RetryIf | None = None,
    outputs: int | Sequence[str] | None = None,
    keep: bool = False,
) -> Any:
    """Make a task of a function; called outside a pipeline it just runs.

    Args:
        function: Any callable; it stays a plain function outside pipelines.
        name: What it is called in the run; the function's name by default.
        cpus: CPUs that each attempt reserves; fractions and 0 are fine.
        timeout: Seconds that an attempt's own code may run; the wait for a CPU does not count.
        retries: How often a failed attempt is repeated.
        backoff: Seconds between attempts, or a function of the number of failed attempts:
            ``Exponential(first=1, factor=2, limit=60)``.
        retry_if: The errors to retry: exception classes, or a function of the exception.
        outputs: For a task that returns several values: how many, or their names.
        keep: Keep the return value in the run file, so that ``--from`` can reuse it.
    """
    policy = Policy(cpus, timeout, retries, backoff, retry_if, keep)

    def decorate(function: Callable[..., Any]) -> Task[..., Any]:
        if isinstance(function, Task):
            raise PipelineError(f"{function.name!r} is a task already: remove one @task.")
        if isinstance(function, Callee):
            raise PipelineError(f"{function!r} cannot be a task: call it in another pipeline.")
        if not callable(function):
            raise PipelineError(
                f"@task takes a function, not {function!r}. Options go by name: @task(name=...)."
            )
        called = name or getattr(function, "__name__", type(function).__name__)
        return Task(
            function,
            name=called,
            policy=policy,
            outputs=_outputs(called, outputs),
            signature=_signature(called, function),
            source=_source(function),
        )

    return decorate if function is None else decorate(function)


def notebook_task(
    path: str | os.PathLike[str],
    /,
    *,
    name: str = "",
    cpus: float = 1.0,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float | Callable[[int], float] = 1.0,
    retry_if: RetryIf | None = None,
    outputs: int | Sequence[str] | None = None,
    keep: bool = False,
) -> Task[..., Any]:
    """Make a task of a notebook (Jupytext .py or .md, or .ipynb).

    ``path`` is relative to the file that calls this. The notebook's ``parameters`` cell names its
    arguments, in order. The other arguments are as for :func:`task`; the name is the file's.

    Raises:
        PipelineError: there is no such notebook, or it cannot be read.
    """
    caller = sys._getframe(1).f_globals.get("__file__")
    base = Path(caller).parent if caller else Path.cwd()
    notebook, signature = read_notebook(base, Path(path))
    called = name or Path(path).stem
    made: Task[..., Any] = Task(
        None,
        name=called,
        policy=Policy(cpus, timeout, retries, backoff, retry_if, keep),
        outputs=_outputs(called, outputs),
        signature=signature,
        source=notebook.path,
        notebook=notebook,
    )
    made.type = TaskType.NOTEBOOK
    return made


def _outputs(name: str, outputs: int | Sequence[str] | None) -> int | tuple[str, ...] | None:
    if outputs is None:
        return None
    if isinstance(outputs, int) and not isinstance(outputs, bool) and outputs >= 1:
        return outputs
    if isinstance(outputs, list | tuple) and outputs and all(isinstance(o, str) for o in outputs):
        if len(set(outputs)) < len(outputs):
            raise PipelineError(f"Task {name!r} has outputs={outputs!r}: one name is there twice.")
        return tuple(outputs)
    raise PipelineError(
        f"Task {name!r} has outputs={outputs!r}: give how many values it returns, or their names."
    )


def _fault(value: Any) -> Exception | None:
    """Why a value does not pickle."""
    try:
        cloudpickle.dumps(value)
    except Exception as error:  # noqa: BLE001 (the user's class)
        return error
    return None


def _signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise PipelineError(
            f"Task {name!r}: Python does not know the parameters of {function!r} ({error}). Call it in a "
            "function of your own."
        ) from None


def _check_function(name: str, function: Callable[..., Any]) -> None:
    """Raise PipelineError for what only looks like a function of a task."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PipelineError(
            f"Task {name!r} is an async function; a task is a plain one. Call it in one: "
            "asyncio.run(...)."
        )
    if inspect.isgeneratorfunction(function):
        raise PipelineError(
            f"Task {name!r} yields; a task returns. Collect what it yields in a list, and return that."
        )


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 200:
        raise PipelineError(f"{name!r} cannot be a task's name: use 1 to 200 printable characters.")


def _source(function: Callable[..., Any]) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(function)) or ""
        line = inspect.unwrap(function).__code__.co_firstlineno
    except (TypeError, AttributeError):
        return "an unknown file"
    with_line = Path(file)
    try:
        with_line = with_line.relative_to(Path.cwd())
    except ValueError:
        with_line = Path(*with_line.parts[-3:]) if with_line.is_absolute() else with_line
    return f"{with_line.as_posix()}:{line}"


def _lookup(module: str, path: str) -> Any:
    """What ``path`` names in ``module``; None where there is nothing of the kind."""
    if "<" in path:
        return None
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found


def _rebuild(state: dict[str, Any]) -> Task[..., Any]:
    made: Task[..., Any] = Task.__new__(Task)
    made.__dict__.update(state)
    return made


__all__ = ["Exponential", "Policy", "Task", "notebook_task", "task"]
