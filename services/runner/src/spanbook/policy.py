"""How a task is run: CPUs, time limit, and when and how soon it is tried again."""

from collections.abc import Callable
from dataclasses import dataclass

from spanbook.errors import PipelineError, TaskError

MAX_PAUSE = 7 * 86400.0  # seconds

RetryIf = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


@dataclass(frozen=True, slots=True)
class Exponential:
    """A growing pause between attempts: ``first`` seconds, then ``factor`` times as long, to ``limit``."""

    first: float = 1.0
    factor: float = 2.0
    limit: float = 60.0

    def __call__(self, failed: int) -> float:
        """Seconds to wait after the ``failed``-th attempt."""
        return float(min(self.limit, self.first * self.factor ** min(failed - 1, 1000)))


@dataclass(frozen=True, slots=True)
class Policy:
    """How a task is run: CPUs, time limit in seconds, and when it is tried again."""

    cpus: float = 1.0
    timeout: float | None = None
    retries: int = 0
    backoff: float | Callable[[int], float] = 1.0
    retry_if: RetryIf | None = None
    keep: bool = False

    def pause(self, failed: int) -> float:
        """Seconds to wait after the ``failed``-th attempt.

        Raises:
            TaskError: ``backoff`` does not say.
        """
        try:
            pause = float(self.backoff(failed) if callable(self.backoff) else self.backoff)
        except Exception as error:
            raise TaskError(
                f"backoff({failed}) raised {type(error).__name__}: {error}. It must return seconds."
            ) from error
        return pause if 0 <= pause < MAX_PAUSE else MAX_PAUSE if pause > 0 else 0.0

    def wants_retry(self, error: BaseException) -> bool:
        """Whether an error of this kind is worth another try."""
        if self.retry_if is None:
            return True
        if isinstance(self.retry_if, type | tuple):
            return isinstance(error, self.retry_if)
        return bool(self.retry_if(error))

    def check(self, name: str) -> None:
        """Raise PipelineError where a value makes no sense."""
        for key, value, least in (
            ("cpus", self.cpus, 0),
            ("retries", self.retries, 0),
            ("timeout", self.timeout, 1e-3),
        ):
            wrong_type = isinstance(value, bool) or not isinstance(value, int | float)
            if value is not None and (wrong_type or not value >= least):
                raise PipelineError(
                    f"Task {name!r} has {key}={value!r}: give a number, at least {least:g}."
                )
        if not isinstance(self.retries, int):
            raise PipelineError(f"Task {name!r} has retries={self.retries!r}: give a whole number.")
        backoff = self.backoff
        if isinstance(backoff, bool) or not (callable(backoff) or isinstance(backoff, int | float)):
            raise PipelineError(
                f"Task {name!r} has backoff={backoff!r}: give seconds, or a function of the number of "
                "failed attempts, such as Exponential()."
            )
        kinds = self.retry_if if isinstance(self.retry_if, tuple) else (self.retry_if,)
        if not all(kind is None or callable(kind) for kind in kinds):
            raise PipelineError(
                f"Task {name!r} has retry_if={self.retry_if!r}: give exception classes, or a function "
                "of the exception."
            )
        if not isinstance(self.keep, bool):
            raise PipelineError(f"Task {name!r} has keep={self.keep!r}: give True or False.")
