"""Pipelines: what ``@pipeline`` makes, and how branches are written in one."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from spanbook.arguments import bind
from spanbook.dag import Graph, current
from spanbook.errors import PipelineError, user_traceback
from spanbook.mapper import Mapper
from spanbook.nodes import Callee, Condition, Handle

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Callee, Generic[P, R]):
    """A pipeline. Called inside another it adds its tasks; anywhere else it runs here and now."""

    def __init__(self, function: Callable[P, R], name: str) -> None:
        self.function, self.name = function, name
        self.signature = inspect.signature(function)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def build(self, parameters: Mapping[str, Any]) -> Graph:
        """The DAG for these parameters.

        Raises:
            PipelineError: the pipeline is wrong; also for an error of its own code, as the cause.
        """
        graph = Graph(self.name)
        with graph.building():
            try:
                graph.result = self.function(**parameters)  # type: ignore[call-arg]
            except PipelineError:
                raise
            except Exception as error:
                raise PipelineError(
                    f"The pipeline {self.name!r} cannot be built: it raised "
                    f"{type(error).__name__}: {error}\n\n{user_traceback(error)}"
                ) from error
        if not graph.nodes:
            raise PipelineError(
                f"The pipeline {self.name!r} calls no task, so there is nothing to run."
            )
        return graph

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add this pipeline's tasks to the one being built, or run it here and now."""
        graph = current()
        if graph is None:
            from spanbook.inprocess import run_here  # noqa: PLC0415

            bound = bind(f"Pipeline {self.name!r}", self.signature, args, kwargs)
            bound.apply_defaults()
            return run_here(self.build(bound.arguments))  # type: ignore[no-any-return]
        bind(f"Pipeline {self.name!r}", self.signature, args, kwargs)
        with graph.grouped(self.name):
            return self.function(*args, **kwargs)

    def partial(self, **fixed: Any) -> Mapper:
        """This pipeline with some arguments fixed, to be mapped over the others."""
        return Mapper(self.name, self, self.signature, fixed)

    def map(self, *iterables: Any, **named: Any) -> Any:
        """Add this pipeline once for each item; see :meth:`spanbook.task.Task.map`."""
        return self.partial().map(*iterables, **named)


def pipeline(function: Callable[P, R] | None = None, /, *, name: str = "") -> Any:
    """Make a pipeline of a function that calls tasks; its arguments are the run's parameters."""

    def decorate(function: Callable[P, R]) -> Pipeline[P, R]:
        if isinstance(function, Callee) or not callable(function):
            raise PipelineError(
                f"@pipeline takes a function that calls tasks, not {function!r}. Options go by name: "
                "@pipeline(name=...)."
            )
        return Pipeline(function, name or function.__name__)

    return decorate if function is None else decorate(function)


def when(result: Any) -> contextlib.AbstractContextManager[None]:
    """Tasks called in the ``with`` block run only if ``result`` is true; else they are skipped."""
    return _branch(result, expected=True)


def unless(result: Any) -> contextlib.AbstractContextManager[None]:
    """Tasks called in the ``with`` block run only if ``result`` is false; else they are skipped."""
    return _branch(result, expected=False)


@contextlib.contextmanager
def _branch(result: Any, *, expected: bool) -> Iterator[None]:
    graph = current()
    if not isinstance(result, Handle) or graph is None:
        raise PipelineError(
            f"when() and unless() take the result of a task, in a pipeline; this is {result!r}. "
            "For a value that is known already use a plain `if`."
        )
    with graph.branch(Condition(result, expected)):
        yield


def either(*results: Any) -> Any:
    """The first of ``results`` whose task was not skipped: where branches meet again."""
    graph = current()
    if graph is None or not results or not all(isinstance(r, Handle) for r in results):
        raise PipelineError("either() takes the results of tasks, in a pipeline.")
    return graph.either(results)


__all__ = ["Pipeline", "either", "pipeline", "unless", "when"]
