"""Every name that a run file bears: attributes, events, metrics and their values.

Where OpenTelemetry's semantic conventions (v1.44) have a name we use theirs; the rest is
``spanbook.*``. ``docs/run-file.md`` documents each name and a test holds the two together.
"""

from enum import StrEnum
from typing import Final

FORMAT_VERSION: Final = 1

# -- resource: one per run -----------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
PIPELINE_NAME: Final = "cicd.pipeline.name"
PIPELINE_RUN_ID: Final = "cicd.pipeline.run.id"  # the run id, which is the trace id
PIPELINE_RUN_URL: Final = "cicd.pipeline.run.url.full"  # the CI's own page of this run
WORKER_NAME: Final = "cicd.worker.name"
REPOSITORY_URL: Final = "vcs.repository.url.full"  # without .git
REPOSITORY_NAME: Final = "vcs.repository.name"
OWNER_NAME: Final = "vcs.owner.name"
VCS_PROVIDER: Final = "vcs.provider.name"
REF_NAME: Final = "vcs.ref.head.name"
REF_REVISION: Final = "vcs.ref.head.revision"
REF_TYPE: Final = "vcs.ref.type"  # branch | tag
REF_BASE_NAME: Final = "vcs.ref.base.name"
CHANGE_ID: Final = "vcs.change.id"  # the pull request's number
CHANGE_TITLE: Final = "vcs.change.title"
COMMIT_TITLE: Final = "spanbook.vcs.commit.title"  # first line of the commit message
DIRTY: Final = "spanbook.vcs.dirty"  # bool: uncommitted changes when the run started
TRIGGER: Final = "spanbook.trigger"  # schedule | pull_request | push | manual | local
ACTOR: Final = "spanbook.actor"
CI_PREFIX: Final = "spanbook.ci."  # the CI's other variables: workflow, job, run_id, ...
PACKAGE_PREFIX: Final = "spanbook.package."  # version of each package that matters
ENV_PREFIX: Final = "spanbook.env."  # allow-listed environment variables
HOST_NAME: Final = "host.name"
PYTHON_VERSION: Final = "process.runtime.version"
PROCESS_PID: Final = "process.pid"

# -- spans ---------------------------------------------------------------------------------
SPAN_TYPE: Final = "spanbook.span.type"  # SpanType
RESULT: Final = "cicd.pipeline.result"  # on the run span; Result
ACTION_NAME: Final = "cicd.pipeline.action.name"
ERROR_TYPE: Final = "error.type"
TASK_NAME: Final = "cicd.pipeline.task.name"
TASK_RUN_ID: Final = "cicd.pipeline.task.run.id"  # the task span's id
TASK_RESULT: Final = "cicd.pipeline.task.run.result"  # Result
TASK_TYPE: Final = "spanbook.task.type"  # TaskType
TASK_INDEX: Final = "spanbook.task.index"  # int: order of declaration, from 0
TASK_UPSTREAM: Final = "spanbook.task.upstream"  # span ids; on the declared event only
TASK_GROUP: Final = "spanbook.task.group"  # nested pipelines: "outer/inner"
TASK_SOURCE: Final = "spanbook.task.source"  # file the task's code comes from
TASK_CPUS: Final = "spanbook.task.cpus"  # double
TASK_TIMEOUT: Final = "spanbook.task.timeout"  # double, seconds
TASK_RETRIES: Final = "spanbook.task.retries"  # int
TASK_REUSED_FROM: Final = "spanbook.task.reused_from"  # run id: the value is of that run (--from)
ATTEMPT_NUMBER: Final = "spanbook.attempt.number"  # int, from 1
ATTEMPT_RESULT: Final = "spanbook.attempt.result"  # Result
ATTEMPT_QUEUED: Final = "spanbook.attempt.queued_time_unix_nano"  # int: given to the scheduler
ATTEMPT_RUNNING: Final = "spanbook.attempt.running_time_unix_nano"  # int: user code began
ATTEMPT_NODE: Final = "spanbook.attempt.node.id"  # the Ray node
LINK_TYPE: Final = "spanbook.link.type"  # LinkType
LINK_ARGUMENT: Final = "spanbook.link.argument"  # the parameter that the value went to
DECLARED_SPANS: Final = "spanbook.declared.spans"  # int, on the run span, itself included
DECLARED_LOG_RECORDS: Final = "spanbook.declared.log_records"  # int
DECLARED_METRIC_POINTS: Final = "spanbook.declared.metric_points"  # int

# -- log records ---------------------------------------------------------------------------
RECORD_ID: Final = "spanbook.record.id"  # unique in the run: log records dedupe by it
IOSTREAM: Final = "log.iostream"  # stdout | stderr
LOGGER_NAME: Final = "spanbook.logger.name"  # of Python's logging
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
KEY: Final = "spanbook.key"  # of a parameter, tag, value or metric
METRIC_VALUE: Final = "spanbook.metric.value"  # double or int
METRIC_STEP: Final = "spanbook.metric.step"  # int, optional
METRIC_VALUES: Final = "spanbook.metric.values"  # array, in a batch
METRIC_STEPS: Final = "spanbook.metric.steps"  # array of int; empty where there are none
METRIC_TIMES: Final = "spanbook.metric.times_unix_nano"  # array of int
ARTIFACT_PATH: Final = "spanbook.artifact.path"  # relative, POSIX
ARTIFACT_MEDIA_TYPE: Final = "spanbook.artifact.media_type"
ARTIFACT_SIZE: Final = "spanbook.artifact.size"  # int, bytes of the whole artifact
ARTIFACT_SHA256: Final = "spanbook.artifact.sha256"  # hex, of the whole artifact
ARTIFACT_KIND: Final = "spanbook.artifact.kind"  # ArtifactKind
ARTIFACT_META: Final = "spanbook.artifact.meta"  # key-values, such as a model's input
ARTIFACT_VERSION: Final = "spanbook.artifact.version"  # int, from 1; the last whole one counts
CHUNK_INDEX: Final = "spanbook.artifact.chunk.index"  # int, from 0
CHUNK_COUNT: Final = "spanbook.artifact.chunk.count"  # int
METRIC_MODEL: Final = "spanbook.metric.model"  # id of the logged model that a point is about
METRIC_DATASET: Final = "spanbook.metric.dataset"  # name of the dataset that it was measured on
METRIC_DATASET_DIGEST: Final = "spanbook.metric.dataset.digest"
CHILD_PARENT: Final = "spanbook.child.parent"  # span id of the attempt or child that it is in
CHILD_NAME: Final = "spanbook.child.name"
CHILD_EXPERIMENT: Final = "spanbook.child.experiment"  # the experiment's name, where one was set
CHILD_STATUS: Final = "spanbook.child.status"  # ChildStatus
CHILD_LIFECYCLE: Final = "spanbook.child.lifecycle"  # active | deleted
CHILD_START: Final = "spanbook.child.start_time_unix_nano"  # int
CHILD_END: Final = "spanbook.child.end_time_unix_nano"  # int; 0: it goes on again
CHILD_USER: Final = "spanbook.child.user"
FOREIGN_TRACE: Final = "spanbook.trace.id"  # of a span: the trace id that its program gave it
DROPPED_BYTES: Final = "spanbook.output.dropped_bytes"  # int

# -- metric data points --------------------------------------------------------------------
ATTEMPT_ID: Final = "spanbook.attempt.id"  # on each point: the attempt's span id
CPU_UTILIZATION: Final = "spanbook.attempt.cpu.utilization"  # cores in use, children included
MEMORY_USAGE: Final = "spanbook.attempt.memory.usage"  # bytes resident, children included

SCOPE_NAME: Final = "spanbook"
BESIDE_SCOPE: Final = "spanbook.beside"  # not of what the runner declares: sent by others
ARTIFACT_CHUNK_BYTES: Final = 1 << 20  # well under gRPC's default limit of 4 MiB a message


class Event(StrEnum):
    """``event_name`` of our log records; the record's span id is the run's, task's or attempt's."""

    RUN_STARTED = "spanbook.run.started"
    TASK_DECLARED = "spanbook.task.declared"
    ATTEMPT_STARTED = "spanbook.attempt.started"
    PARAMETER = "spanbook.parameter"  # body: the value
    TAG = "spanbook.tag"  # body: the value, a string
    VALUE = "spanbook.value"  # body: any JSON value
    METRIC = "spanbook.metric"
    METRIC_BATCH = "spanbook.metric.batch"
    ARTIFACT = "spanbook.artifact"  # body: the chunk's bytes
    OUTPUT_TRUNCATED = "spanbook.output.truncated"
    CHILD = "spanbook.child"  # a run within an attempt began or changed; its span id is its own
    DATASET = "spanbook.dataset"  # body: the dataset
    MODEL = "spanbook.model"  # body: what is new about a logged model
    TRACE = "spanbook.trace"  # body: what is told about a trace that the attempt made
    EXCEPTION = "exception"


class SpanType(StrEnum):
    """What a span of ours stands for."""

    RUN = "run"
    TASK = "task"
    ATTEMPT = "attempt"
    CHILD = "child"  # a run within an attempt, such as a nested MLflow run


class TaskType(StrEnum):
    """What a task's code is."""

    PYTHON = "python"
    NOTEBOOK = "notebook"


class LinkType(StrEnum):
    """Why one task span links to another."""

    UPSTREAM = "upstream"  # a DAG edge: this task used the other's value
    CAUSE = "cause"  # this task was skipped because of the other


class ArtifactKind(StrEnum):
    """What an artifact is for, where its media type does not tell."""

    FILE = "file"
    FIGURE = "figure"
    TABLE = "table"
    MODEL = "model"
    NOTEBOOK = "notebook"
    RESULT = "result"  # a task's kept return value, pickled


class Result(StrEnum):
    """How a run, task or attempt ended (semconv ``cicd.pipeline.result``).

    ``failure`` is the pipeline's own fault, ``error`` the system's (a worker died).
    """

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLATION = "cancellation"
    SKIP = "skip"


class ChildStatus(StrEnum):
    """How a run within an attempt stands, in MLflow's words."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class SealReason(StrEnum):
    """Why the collector sealed a run."""

    COMPLETE = "complete"  # the run span came, and everything that it declared
    GRACE = "grace"  # the run span came, the rest did not in time
    IDLE = "idle"  # nothing came for long: the runner died, or it is no spanbook run
    IMPORT = "import"  # made from a spool by hand
