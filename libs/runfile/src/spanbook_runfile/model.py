"""A run as frozen dataclasses: what a reader gives, and all that page code may see.

Times are integers, nanoseconds since the Unix epoch (UTC), as in OTLP; 0 is never a time, an
unknown one is ``None``.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import pybase64

from spanbook_runfile import names
from spanbook_runfile.names import ArtifactKind, ChildStatus, Result, SealReason, TaskType

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One printed line or ``logging`` record; ``stream`` is ``stdout``, ``stderr`` or ``log``."""

    time: int
    stream: str
    text: str
    severity: str = ""
    logger: str = ""


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """One recorded exception; ``stacktrace`` is the user's traceback as text."""

    time: int
    type: str
    message: str
    stacktrace: str


@dataclass(frozen=True, slots=True)
class Metric:
    """The points of one metric key, in the order logged; ``steps`` holds None where not given."""

    key: str
    values: tuple[float, ...]
    steps: tuple[int | None, ...]
    times: tuple[int, ...]

    @property
    def last(self) -> float:
        """The value logged last."""
        return self.values[-1]

    @property
    def min(self) -> float:
        """The smallest value that is a number; NaN where there is none."""
        return min((v for v in self.values if not math.isnan(v)), default=float("nan"))

    @property
    def max(self) -> float:
        """The largest value that is a number; NaN where there is none."""
        return max((v for v in self.values if not math.isnan(v)), default=float("nan"))


@dataclass(frozen=True)
class Artifact:
    """A logged file; ``size`` and ``sha256`` are as declared, ``data`` is what came.

    ``path`` is as recorded: untrusted, never to be joined to a folder without
    :func:`spanbook_runfile.paths.safe_path`.
    """

    path: str
    media_type: str
    size: int
    sha256: str
    kind: ArtifactKind = ArtifactKind.FILE
    meta: Mapping[str, Json] = field(default_factory=dict)
    version: int = 1
    time: int = 0
    chunks: tuple[str, ...] = ()  # base64, in order
    complete: bool = True

    @cached_property
    def data(self) -> bytes:
        """The artifact's bytes, decoded on first use.

        Raises:
            ValueError: a chunk is not base64.
        """
        return b"".join(pybase64.b64decode(chunk, validate=True) for chunk in self.chunks)

    @property
    def intact(self) -> bool:
        """Whether every byte came and the digest is the declared one."""
        if not self.complete:
            return False
        try:
            data = self.data
        except ValueError:
            return False
        return len(data) == self.size and hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class UsageSample:
    """CPU (cores) and memory (bytes) of an attempt and its children at one time."""

    time: int
    cpu: float | None
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset that was used; ``schema``, ``profile`` and ``source`` are texts, mostly JSON."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


# key, value, step, time in ns, dataset's name, its digest
ModelPoint: TypeAlias = tuple[str, float, int, int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """A trained model that was logged with its files, which lie below ``folder``.

    ``metrics`` are the points that its own run logged.
    """

    id: str
    name: str
    folder: str
    type: str = ""
    status: str = ""
    created: int = 0
    updated: int = 0
    step: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[ModelPoint, ...] = ()
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What else a run has to do with a logged model: it took it in, gave another run's out, or measured that.

    ``step`` is that of the output, None where it is none.
    """

    id: str
    input: bool = False
    step: int | None = None
    metrics: tuple[ModelPoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What can be logged on a run, or on an attempt."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    logs: tuple[LogLine, ...] = ()
    exceptions: tuple[ExceptionInfo, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    models: tuple[LoggedModel, ...] = ()
    model_uses: tuple[ModelUse, ...] = ()
    traces: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    dropped_output_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Child(Recorded):
    """A run within an attempt, such as a nested MLflow run; ``parent`` is the attempt or a child.

    ``end`` is None while it goes on, and where its end was never told.
    """

    id: str
    parent: str
    name: str
    status: ChildStatus
    start: int | None
    end: int | None
    experiment: str = ""
    user: str = ""
    deleted: bool = False

    @property
    def folder(self) -> str:
        """Where its files are shown among the attempt's."""
        return f"runs/{self.name.replace('/', '-')}-{self.id[:6]}"


@dataclass(frozen=True, kw_only=True)
class Attempt(Recorded):
    """One try of a task; ``result`` is None while it runs.

    ``queued`` → ``start`` is the wait for a worker, ``start`` → ``running`` the start-up (imports,
    a kernel), ``running`` → ``end`` the user's own code.
    """

    id: str
    number: int
    result: Result | None
    queued: int | None
    start: int | None
    running: int | None
    end: int | None
    error_type: str = ""
    error_message: str = ""
    host: str = ""
    pid: int | None = None
    node: str = ""
    usage: tuple[UsageSample, ...] = ()
    children: tuple[Child, ...] = ()
    experiment: str = ""  # the name that its code gave it, such as by ``mlflow.set_experiment``
    deleted: bool = False  # as marked by MLflow's client; all that is recorded stays

    @property
    def began(self) -> int | None:
        """When the user's own code began; where that is not known, when its worker did."""
        return self.running or self.start

    @property
    def ran(self) -> int | None:
        """How long the user's own code ran, in ns; None where its begin and end are not known."""
        begin, end = self.began, self.end
        return end - begin if begin and end and end >= begin else None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of a run; ``result`` is None until it ended.

    ``label`` tells tasks of one name apart by the parameters that differ (``n=400``); it is empty
    where the name is enough.
    """

    id: str
    name: str
    index: int
    type: TaskType
    result: Result | None
    start: int | None
    end: int | None
    upstream: tuple[str, ...] = ()
    cause: str | None = None  # the task at fault, where this one was skipped
    attempts: tuple[Attempt, ...] = ()
    label: str = ""
    group: str = ""
    source: str = ""
    error_type: str = ""
    error_message: str = ""
    attributes: Mapping[str, Json] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``waiting``, ``queued``, ``running``, or the result once there is one."""
        if self.result is not None:
            return self.result
        if any(a.result is None for a in self.attempts):
            return "running"
        return "queued" if self.attempts or self.start is not None else "waiting"

    @property
    def title(self) -> str:
        """The name, with the label where one is needed."""
        return f"{self.name} {self.label}" if self.label else self.name

    @property
    def final(self) -> Attempt | None:
        """The attempt that counts: the last one; None where the task was skipped or waits."""
        return self.attempts[-1] if self.attempts else None

    @property
    def ran(self) -> int | None:
        """How long the attempt that counts ran, in ns: without the wait for a worker and its start-up."""
        return self.final.ran if self.final else None


@dataclass(frozen=True, slots=True)
class OtherSpan:
    """A span that is not ours: an instrumented library, or a whole foreign trace."""

    id: str
    parent: str
    name: str
    start: int
    end: int
    service: str
    error: str = ""
    attributes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a run holds, or declared that it would."""

    spans: int
    log_records: int
    metric_points: int

    def within(self, other: "Counts") -> bool:
        """Whether ``other`` holds at least as much; more comes of libraries that trace themselves."""
        return (
            self.spans <= other.spans
            and self.log_records <= other.log_records
            and self.metric_points <= other.metric_points
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """What the collector wrote about a sealed run."""

    format: int
    sealed_at: str
    reason: SealReason
    received: Counts
    declared: Counts | None
    duplicates: int
    digest: str

    @property
    def complete(self) -> bool:
        """Whether all that the runner declared is there."""
        return self.declared is not None and self.declared.within(self.received)


@dataclass(frozen=True, kw_only=True)
class Run(Recorded):
    """One run of a pipeline; ``result`` is None while it runs, or where the runner died.

    ``foreign`` is set for telemetry without a run span of ours; its spans are in ``other_spans``.
    ``problems`` lists in plain words what was wrong with the file and passed over.
    """

    id: str
    pipeline: str
    result: Result | None
    start: int | None
    end: int | None
    tasks: tuple[Task, ...] = ()
    resource: Mapping[str, Json] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)
    error_type: str = ""
    error_message: str = ""
    seal: Seal | None = None
    other_spans: tuple[OtherSpan, ...] = ()
    foreign: bool = False
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The result; ``running`` before the seal; ``interrupted`` where a sealed run has none."""
        if self.result is not None:
            return self.result
        if self.seal is None:
            return "running"
        return "trace" if self.foreign else "interrupted"

    @cached_property
    def by_id(self) -> Mapping[str, Task]:
        """The tasks by span id."""
        return {task.id: task for task in self.tasks}

    def context(self, name: str) -> str:
        """A resource attribute as text, empty where it is not there."""
        value = self.resource.get(name)
        return "" if value is None else str(value)

    @property
    def trigger(self) -> str:
        """What started the run: schedule, pull_request, push, manual or local."""
        return self.context(names.TRIGGER) or "local"
