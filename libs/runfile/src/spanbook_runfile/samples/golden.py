"""The golden runs: one of each way in which a run can go."""

from collections.abc import Mapping, Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal
from spanbook_runfile.names import ArtifactKind, Result, TaskType
from spanbook_runfile.samples import media
from spanbook_runfile.samples.builder import SECOND, START, SampleAttempt, SampleRun, SampleTask

DAY = 86_400 * SECOND
ON_GITHUB = {
    names.SERVICE_NAME: "spanbook",
    names.PIPELINE_RUN_URL: "https://github.com/octo/digits/actions/runs/9876543210",
    names.REPOSITORY_URL: "https://github.com/octo/digits",
    names.REPOSITORY_NAME: "digits",
    names.OWNER_NAME: "octo",
    names.VCS_PROVIDER: "github",
    names.REF_NAME: "main",
    names.REF_REVISION: "4f2c1e9b7a6d5c3b2a190817263544f2c1e9b7a6",
    names.REF_TYPE: "branch",
    names.COMMIT_TITLE: "Train on 600 images as well",
    names.TRIGGER: "schedule",
    names.ACTOR: "octo-bot",
    names.CI_PREFIX + "workflow": "ci",
    names.CI_PREFIX + "run_number": "214",
    names.PACKAGE_PREFIX + "scikit-learn": "1.9.1",
    names.PACKAGE_PREFIX + "numpy": "2.4.6",
}
PULL_REQUEST = {
    **ON_GITHUB,
    names.TRIGGER: "pull_request",
    names.REF_NAME: "refs/pull/17/merge",
    names.REF_BASE_NAME: "main",
    names.CHANGE_ID: "17",
    names.CHANGE_TITLE: "Try a larger C",
    names.COMMIT_TITLE: "Try C=0.01",
    names.ACTOR: "octocat",
}
TRACEBACK = """Traceback (most recent call last):
  File "pipelines/mnist_digits/tasks.py", line 42, in split_train_test
    return train_test_split(digits, train_size=train_ratio)
  File "sklearn/model_selection/_split.py", line 2869, in train_test_split
    raise ValueError("train_size=1.7 should be in the (0, 1) range")
ValueError: train_size=1.7 should be in the (0, 1) range
"""


def ok(
    name: str = "ok",
    *,
    sizes: Sequence[int] = (400, 500, 600),
    start: int = START,
    gain: float = 0.0,
    on_github: bool = True,
    context: Mapping[str, object] | None = None,
) -> SampleRun:
    """The demo pipeline's run as it should be; ``gain`` shifts its metrics, ``context`` its origin."""
    resource = {**(ON_GITHUB if on_github else {}), **(context or {})}
    run = SampleRun(name, start=start, resource=resource)
    run.log.tag(0.1, "purpose", "nightly")
    run.log.parameters(0.1, train_sizes=list(sizes))
    digits = _ingest(run)
    split = _splits(run, digits)
    _notebook(run, "eda", [digits], {"nr_images": 1797}, at=0.8, until=5.0)
    scores = []
    for lane, size in enumerate(sizes):
        trained = _train(run, split, size, 1.5 + 2 * lane, gain)
        scores.append(_benchmark(run, trained, size, 3.6 + 2 * lane, gain))
    last = max(task.last for task in scores)
    given: dict[str, object] = {"sizes": list(sizes)}
    summary = _notebook(run, "summary", scores, given, at=last + 0.1, until=last + 3.2)
    run.log.value(summary.last, "best", {"nr_train_images": sizes[-1], "roc_auc": 0.99 + gain})
    return run.finish()


def _ingest(run: SampleRun) -> SampleTask:
    task = run.task("ingest", attrs={names.TASK_RETRIES: 15, names.TASK_TIMEOUT: 10.0})
    attempt = task.attempt(0.0, 0.2)
    attempt.line(0.3, "reading 1797 images of 8x8 pixels")
    attempt.logging(0.4, "cache is cold", "WARNING", "sklearn.datasets")
    attempt.value(0.5, "shape", [1797, 64])
    attempt.usage(0.7, every=0.25)
    attempt.end(0.7)
    return task.end()


def _splits(run: SampleRun, digits: SampleTask) -> SampleTask:
    task = run.task("split_train_test", after=[digits])
    attempt = task.attempt(0.7)
    attempt.parameters(0.8, train_ratio=0.7, stratified=True)
    attempt.metric(1.0, "nr_train", 1257)
    attempt.metric(1.0, "nr_test", 540)
    csv = b"digit,train,test\n" + b"".join(b"%d,126,54\n" % n for n in range(10))
    attempt.artifact(1.1, "tables/split.csv", csv, "text/csv", ArtifactKind.TABLE)
    attempt.end(1.4)
    return task.end()


def _train(run: SampleRun, split: SampleTask, size: int, at: float, gain: float) -> SampleTask:
    task = run.task("train_model", after=[split], attrs={names.TASK_CPUS: 1.0})
    attempt = task.attempt(1.4, at)
    attempt.parameters(at + 0.1, nr_train_images=size, C=0.001, kernel="linear")
    for step in range(20):
        loss = 2.3 / (1 + step) + 40 / size - gain
        attempt.metric(at + 0.1 + step / 20, "loss", loss, step)
    curve = [1 - 0.5**step for step in range(1, 9)]
    attempt.metric_batch(at + 1.2, "accuracy", curve, range(8))
    attempt.line(at + 1.3, f"trained on {size} images")
    attempt.line(at + 1.3, "ConvergenceWarning: increase max_iter", "stderr")
    figure = media.curve(size / 100)
    attempt.artifact(at + 1.4, "figures/weights.png", figure, "image/png", ArtifactKind.FIGURE)
    model = {"inputs": {"X": ["batch", 64]}, "outputs": {"Y": ["batch", 64]}}
    onnx = media.onnx()
    attempt.artifact(
        at + 1.5, "model.onnx", onnx, "application/onnx", ArtifactKind.MODEL, meta=model
    )
    attempt.usage(at + 1.9, every=0.2)
    attempt.end(at + 2.0)
    return task.end()


def _benchmark(run: SampleRun, model: SampleTask, size: int, at: float, gain: float) -> SampleTask:
    given: dict[str, object] = {"nr_train_images": size}
    task = _notebook(run, "benchmark-model", [model], given, at=at, until=at + 1.8, end=False)
    attempt = task.attempts_made[-1]
    aucs = {str(digit): round(0.97 + digit / 500 + size / 1e5 + gain, 6) for digit in range(10)}
    attempt.value(at + 1.0, "roc_auc_per_digit", aucs)
    attempt.metric(at + 1.1, "roc_auc_mean", sum(aucs.values()) / 10)
    figure = media.svg(f"ROC at {size}").replace(b"#eef", b"#efe")
    attempt.artifact(at + 1.2, "figures/roc.svg", figure, "image/svg+xml", ArtifactKind.FIGURE)
    attempt.end(at + 1.8)
    return task.end()


def _notebook(
    run: SampleRun,
    name: str,
    after: Sequence[SampleTask],
    parameters: dict[str, object],
    *,
    at: float,
    until: float,
    end: bool = True,
) -> SampleTask:
    source = {names.TASK_SOURCE: f"notebooks/{name}.py"}
    task = run.task(name, after=after, kind=TaskType.NOTEBOOK, attrs=source)
    attempt = task.attempt(max(t.last for t in after), at)
    attempt.parameters(at + 0.2, **parameters)
    attempt.line(at + 0.4, "loaded 1797 digits")
    log_notebook(attempt, until - 0.1, name, media.notebook(name, parameters))
    attempt.usage(until, every=0.5, cpu=0.6)
    if end:
        attempt.end(until)
        task.end()
    return task


def log_notebook(attempt: SampleAttempt, at: float, name: str, content: bytes) -> None:
    """Log an evaluated notebook."""
    path = f"notebooks/{name}.ipynb"
    attempt.artifact(at, path, content, "application/x-ipynb+json", ArtifactKind.NOTEBOOK)


def failed(name: str = "failed", start: int = START + DAY) -> SampleRun:
    """A task raises; what depends on it is skipped, the rest finishes."""
    run = SampleRun(name, start=start, resource=PULL_REQUEST)
    digits = _ingest(run)
    split = run.task("split_train_test", after=[digits])
    attempt = split.attempt(0.7)
    attempt.parameters(0.8, train_ratio=1.7)
    for number in range(30):
        attempt.line(0.8 + number / 100, f"line {number} before the fault")
    message = "train_size=1.7 should be in the (0, 1) range"
    attempt.exception(1.2, "ValueError", message, TRACEBACK)
    attempt.end(1.2, Result.FAILURE, error_type="ValueError", message=message)
    split.end(Result.FAILURE, error_type="ValueError", message=message)
    eda = run.task("eda", after=[digits], kind=TaskType.NOTEBOOK)
    attempt = eda.attempt(0.7, 1.0)
    notebook = media.notebook("eda", {"nr_images": 1797}, failing=True)
    attempt.exception(3.0, "ZeroDivisionError", "division by zero", "Cell In[4], line 1\n1 / 0")
    log_notebook(attempt, 3.1, "eda", notebook)
    attempt.end(3.2, Result.FAILURE, error_type="ZeroDivisionError", message="division by zero")
    eda.end(Result.FAILURE, error_type="ZeroDivisionError", message="division by zero")
    scores = []
    for _ in (400, 500):
        train = run.task("train_model", after=[split])
        train.end(Result.SKIP, at=1.2, cause=split)
        benchmark = run.task("benchmark-model", after=[train], kind=TaskType.NOTEBOOK)
        scores.append(benchmark.end(Result.SKIP, at=1.2, cause=split))
    run.task("summary", after=scores, kind=TaskType.NOTEBOOK).end(Result.SKIP, at=1.2, cause=split)
    return run.finish(Result.FAILURE, error_type="TaskFailed", message="2 of 8 tasks failed")


def retried(name: str = "retried", start: int = START + 2 * DAY) -> SampleRun:
    """A task fails twice, and succeeds at the third try."""
    run = SampleRun(name, start=start, resource=ON_GITHUB)
    task = run.task("ingest", attrs={names.TASK_RETRIES: 15, names.TASK_TIMEOUT: 10.0})
    for number in range(3):
        at = number * 12.0
        attempt = task.attempt(at, at + 0.1)
        attempt.parameters(at + 0.2, mirror=f"mirror-{number}")
        attempt.line(at + 0.3, f"try {number + 1}")
        if number == 2:
            attempt.metric(at + 0.4, "rows", 1797)
            attempt.artifact(at + 0.5, "digits.csv", b"0,1,2\n" * 50, "text/csv")
            attempt.end(at + 1.0)
        elif number == 1:
            attempt.end(at + 10.1, Result.TIMEOUT, error_type="TaskTimeout", message="over 10 s")
        else:
            message = "connection refused"
            attempt.exception(
                at + 0.6, "ConnectionRefusedError", message, "Traceback …\n" + message
            )
            attempt.end(
                at + 0.7, Result.FAILURE, error_type="ConnectionRefusedError", message=message
            )
    task.end()
    return run.finish()


def timed_out(name: str = "timed-out", start: int = START + 3 * DAY) -> SampleRun:
    """A notebook runs into its time limit; the cells that it finished are kept."""
    run = SampleRun(name, pipeline="reports", start=start)
    task = run.task("forecast", kind=TaskType.NOTEBOOK, attrs={names.TASK_TIMEOUT: 30.0})
    attempt = task.attempt(0.0, 0.2)
    attempt.parameters(0.3, horizon=14)
    attempt.metric(5.0, "rmse", 12.5, 0)
    attempt.line(29.0, "still fitting")
    attempt.usage(30.0, cpu=3.9, memory=900)
    log_notebook(
        attempt, 30.1, "forecast", media.notebook("forecast", {"horizon": 14}, unfinished=True)
    )
    message = "ran for 30 s, which is its time limit; it and its children were killed"
    attempt.end(30.2, Result.TIMEOUT, error_type="TaskTimeout", message=message)
    task.end(Result.TIMEOUT, error_type="TaskTimeout", message=message)
    return run.finish(Result.FAILURE, error_type="TaskFailed", message="1 of 1 tasks failed")


def killed(name: str = "killed", start: int = START + 4 * DAY) -> SampleRun:
    """The system kills a task's worker: an error, not a failure."""
    run = SampleRun(name, start=start)
    task = run.task("train_model")
    attempt = task.attempt(0.0)
    attempt.line(0.5, "allocating 64 GiB")
    attempt.usage(9.0, memory=3000)
    message = "the worker died: killed by signal 9, probably out of memory"
    attempt.end(9.1, Result.ERROR, error_type="WorkerDied", message=message)
    task.end(Result.ERROR, error_type="WorkerDied", message=message)
    run.task("summary", after=[task]).end(Result.SKIP, at=9.1, cause=task)
    return run.finish(Result.ERROR, error_type="WorkerDied", message=message)


def cancelled(name: str = "cancelled", start: int = START + 5 * DAY) -> SampleRun:
    """Ctrl-C while two tasks run and one waits."""
    run = SampleRun(name, start=start)
    first, second = run.task("download"), run.task("clean")
    third = run.task("join", after=[first, second])
    for task in (first, second):
        attempt = task.attempt(0.0)
        attempt.line(1.0, "working")
        attempt.end(4.0, Result.CANCELLATION, error_type="Cancelled", message="interrupted")
        task.end(Result.CANCELLATION, error_type="Cancelled", message="interrupted")
    third.end(Result.SKIP, at=4.0)  # never begun
    return run.finish(Result.CANCELLATION, error_type="Cancelled", message="interrupted (SIGINT)")


def interrupted(name: str = "interrupted", start: int = START + 6 * DAY) -> SampleRun:
    """The runner's machine went away: no span of the run, of a task or of an attempt ended."""
    run = SampleRun(name, start=start, resource=ON_GITHUB)
    digits = _ingest(run)
    train = run.task("train_model", after=[digits])
    attempt = train.attempt(0.7)
    attempt.parameters(0.8, nr_train_images=400)
    attempt.metric(1.0, "loss", 0.7, 0)
    attempt.line(1.5, "epoch 1 of 100")
    attempt.artifact(1.6, "half.bin", bytes(200), "application/octet-stream", size=400)
    run.task("summary", after=[train])
    return run


def running(name: str = "running", start: int = START + 7 * DAY) -> SampleRun:
    """A run that is under way: one task done, one running, one retried, two that wait."""
    run = SampleRun(name, start=start)
    digits = _ingest(run)
    train = run.task("train_model", after=[digits])
    attempt = train.attempt(0.7)
    attempt.parameters(0.8, nr_train_images=400)
    for step in range(10):
        attempt.metric(1.0 + step, "loss", 1 / (step + 1), step)
    attempt.line(3.0, "epoch 10 of 100")
    attempt.usage(9.0)
    other = run.task("eda", after=[digits], kind=TaskType.NOTEBOOK)
    first = other.attempt(0.7)
    first.end(2.0, Result.FAILURE, error_type="OSError", message="kernel died")
    other.attempt(4.0)
    benchmark = run.task("benchmark-model", after=[train], kind=TaskType.NOTEBOOK)
    run.task("summary", after=[benchmark, other], kind=TaskType.NOTEBOOK)
    return run


def empty(name: str = "empty", start: int = START + 8 * DAY) -> SampleRun:
    """A pipeline without a task."""
    return SampleRun(name, pipeline="nothing", start=start).finish()


def foreign(name: str = "foreign", start: int = START + 9 * DAY) -> SampleRun:
    """The trace of an instrumented web shop, which knows nothing of spanbook."""
    run = SampleRun(name, start=start)
    run.owner = encode.resource({names.SERVICE_NAME: "checkout", "telemetry.sdk.language": "go"})
    run.sent.clear()  # no run start: nothing of ours
    spans = [
        ("POST /cart", "", 0.0, 0.4),
        ("SELECT items", "1", 0.1, 0.2),
        ("charge", "1", 0.2, 0.4),
    ]
    for number, (title, parent, begin, finish) in enumerate(spans, 1):
        span = encode.span(
            run_id=run.id,
            span_id=f"{number:016x}",
            parent_id=parent and f"{int(parent):016x}",
            name=title,
            start=run.at(begin),
            end=run.at(finish),
            kind=Span.SPAN_KIND_CLIENT,
            attrs={"http.request.method": "POST"} if number == 1 else {},
            error="card declined" if number == 3 else None,
        )
        run.send(run.at(finish), Signal.TRACES, span)
    record = encode.log_record(
        run_id=run.id,
        span_id=f"{3:016x}",
        record_id="",
        time=run.at(0.3),
        body="card was declined",
        severity_text="ERROR",
    )
    del record.attributes[:]  # no other SDK sends a record id
    run.send(run.at(0.3), Signal.LOGS, record)
    return run
