"""Attempts: retries, time limits, failures, and workers that die."""

import time

import psutil
import pytest
from spanbook_runfile.names import Result

PIPELINE = """
import os, signal, subprocess, sys, time
from spanbook import Exponential, log, notebook_task, pipeline, task

kernel_dies = notebook_task("kernel_dies.py", retries=1, backoff=0)

@task(retries=2, backoff=0.1)
def flaky(path: str) -> int:
    with open(path, "a") as file:
        file.write("x")
    tries = os.path.getsize(path)
    print("try", tries)
    log.metric("tries", tries)
    if tries < 3:
        raise ConnectionError(f"try {tries} failed")
    return tries

@task(retries=5, backoff=0.05, retry_if=ConnectionError)
def hopeless() -> None:
    raise KeyError("no retry for this")

@task
def fails(number: int) -> None:
    def inner():
        raise ValueError("the user's own fault")
    inner()

@task
def after(value, more=None) -> None:
    pass

@task
def last(value) -> None:
    pass

@task
def fine() -> int:
    return 1

@task(timeout=5)  # within which two Pythons start, on a busy machine too
def stuck(mark: str) -> None:
    print("going to sleep")
    child = "import time, sys; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child, mark])
    # a daemon: forks twice, into a session of its own
    daemon = (
        "import os, sys\\nif os.fork() == 0:\\n os.setsid()\\n if os.fork() == 0:\\n"
        f"  os.execv(sys.executable, [sys.executable, '-c', {child!r}, sys.argv[1]])\\n"
    )
    subprocess.run([sys.executable, "-c", daemon, mark + "-daemon"])
    time.sleep(600)

@task(timeout=1)
def deaf() -> None:
    "Holds the GIL where no signal and no thread gets in."
    import re
    re.match(r"(a+)+$", "a" * 64 + "b")

@task(retries=1, backoff=0)
def killed(path: str) -> str:
    if not os.path.exists(path):
        open(path, "w").close()
        print("about to die", flush=True)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"

@task
def exits() -> None:
    os._exit(3)

@task
def leaves() -> None:
    sys.exit("bye")

@task
def odd() -> object:
    import threading
    print("computed")
    return threading.Lock()

@task(outputs=2)
def two() -> tuple[int, int, int]:
    return 1, 2, 3

@pipeline
def faults(folder: str, mark: str):
    flaky(folder + "/flaky")
    hopeless()
    last(after(fails(1), more=fine()))
    after(fine())
    after(stuck(mark))
    deaf()
    killed(folder + "/killed")
    kernel_dies(path=folder + "/kernel")
    exits()
    leaves()
    odd()
    two()
"""


NOTEBOOK = """
# %% tags=["parameters"]
path = ""

# %%
import os, signal
print("before", flush=True)

# %%
if not os.path.exists(path):
    open(path, "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
print("survived")
"""


@pytest.fixture(scope="module")
def mark():
    """A word by which the processes of this run are known."""
    return f"spanbook-test-{time.time_ns()}"


@pytest.fixture(scope="module")
def done(module_runner, mark):
    """One run of all faults."""
    folder = module_runner.folder
    module_runner.write(NOTEBOOK, "kernel_dies.py")
    return module_runner.run(PIPELINE, "--param", f"folder={folder}", "--param", f"mark={mark}")


def test_a_failed_task_fails_the_run(done):
    """Exit code 1, result failure, and the tasks that could run did."""
    assert done.code == 1, done.out + done.err
    assert done.recorded.result is Result.FAILURE
    assert done.recorded.problems == ()


def test_each_try_is_an_attempt_of_its_own(done):
    """A later success leaves the task a success; each try keeps its logs, metrics and exception."""
    task = done.task("flaky")
    assert task.result is Result.SUCCESS
    assert [a.result for a in task.attempts] == [Result.FAILURE, Result.FAILURE, Result.SUCCESS]
    assert [a.number for a in task.attempts] == [1, 2, 3]
    assert [[line.text for line in a.logs] for a in task.attempts] == [
        ["try 1"],
        ["try 2"],
        ["try 3"],
    ]
    assert [a.metrics["tries"].last for a in task.attempts] == [1, 2, 3]
    assert [e.message for a in task.attempts for e in a.exceptions] == [
        "try 1 failed",
        "try 2 failed",
    ]
    assert task.attempts[1].queued - task.attempts[0].end >= 0.1e9


def test_errors_that_the_predicate_refuses_are_not_retried(done):
    """``retry_if`` decides which errors are worth another try."""
    assert len(done.task("hopeless").attempts) == 1


def test_what_depends_on_a_failure_is_skipped(done):
    """Direct and indirect dependents are skipped, with a link to the task at fault."""
    skipped = [t for t in done.recorded.tasks if t.result is Result.SKIP]
    at_fault = {done.recorded.by_id[t.cause].name for t in skipped}
    assert sorted(t.name for t in skipped) == ["after", "after", "last"]
    assert at_fault == {"fails", "stuck"}
    assert all(t.attempts == () for t in skipped)


def test_independent_branches_finish(done):
    """What does not depend on a failure runs to its end."""
    results = sorted(t.result for t in done.recorded.tasks if t.name == "after")
    assert results == ["skip", "skip", "success"]


def test_the_traceback_is_the_users(done):
    """It starts in the user's file; no frame of spanbook or Ray stands on top of it."""
    (error,) = done.task("fails").final.exceptions
    assert error.type == "ValueError"
    assert error.stacktrace.count("File ") == 2
    assert error.stacktrace.count("pipeline.py") == 2
    assert "the user's own fault" in done.out


def test_a_time_limit_ends_the_attempt_and_its_children(done, mark, living):
    """Result timeout within two seconds of the limit; subprocesses and daemons are gone."""
    task = done.task("stuck")
    assert task.result is Result.TIMEOUT
    attempt = task.final
    assert 5.0 <= (attempt.end - attempt.running) / 1e9 < 7.5
    assert [line.text for line in attempt.logs] == ["going to sleep"]
    assert living(mark) == []
    assert "time.sleep(600)" in attempt.exceptions[0].stacktrace


def test_a_time_limit_ends_native_code_too(done):
    """An attempt that lets no thread of its process run is ended from outside."""
    attempt = done.task("deaf").final
    assert attempt.result is Result.TIMEOUT
    assert (attempt.end - attempt.running) / 1e9 < 3.5


def test_a_killed_worker_is_an_error_and_is_retried(done):
    """``kill -9`` makes the attempt an error with what it had printed; a retry may succeed."""
    task = done.task("killed")
    assert task.result is Result.SUCCESS
    first, second = task.attempts
    assert first.result is Result.ERROR
    assert first.error_type == "WorkerDied"
    assert [line.text for line in first.logs] == ["about to die"]
    assert second.result is Result.SUCCESS


def test_a_killed_kernel_is_an_error_and_is_retried(done):
    """A notebook whose kernel is killed keeps what it printed, as a worker's attempt would."""
    first, second = done.task("kernel_dies").attempts
    assert (first.result, first.error_type) == (Result.ERROR, "spanbook.errors.KernelError")
    assert "SIGKILL" in first.error_message
    assert first.logs[0].text == "before"
    assert [a.path for a in first.artifacts] == ["notebook.ipynb"]
    assert second.result is Result.SUCCESS


def test_ray_says_nothing_of_its_own(done):
    """Timeouts and killed workers are told once, by the run: no line of Ray's is on the terminal."""
    for word in ("raylet", "RAY_", "Unhandled error", "ray._raylet"):
        assert word not in done.out + done.err


def test_a_process_that_exits_is_told_apart_from_a_timeout(done):
    """``os._exit`` is an error of the worker, ``sys.exit`` a failure of the task."""
    assert done.task("exits").final.result is Result.ERROR
    leaves = done.task("leaves").final
    assert leaves.result is Result.FAILURE
    assert "sys.exit(bye)" in leaves.error_message


def test_a_value_that_cannot_be_passed_on_fails_the_task(done):
    """The error names the task and the type, and what the task had printed is kept."""
    attempt = done.task("odd").final
    assert attempt.result is Result.FAILURE
    assert "'odd'" in attempt.error_message
    assert "lock" in attempt.error_message
    assert [line.text for line in attempt.logs] == ["computed"]


def test_a_wrong_number_of_outputs_is_told(done):
    """A task that declares two outputs and returns three fails and says so."""
    assert "must return a tuple or list of 2 values" in done.task("two").error_message


def test_times_tell_waiting_from_running(done):
    """Queued, started, running and ended are in that order, for every attempt."""
    for task in done.recorded.tasks:
        for attempt in task.attempts:
            if attempt.running is not None:
                assert attempt.queued <= attempt.start <= attempt.running <= attempt.end
            else:
                assert attempt.queued <= attempt.end


def test_nothing_is_left_running(done, mark):
    """When the command has ended, no process of its Ray is left."""
    left = [p for p in psutil.process_iter(["cmdline"]) if "spanbook-" in str(p.info["cmdline"])]
    assert [p for p in left if mark in str(p.info["cmdline"])] == []


def test_the_journal_holds_what_was_declared(done):
    """The run span counts every span, record and point that there is."""
    run = done.recorded
    assert run.attributes["spanbook.declared.spans"] == 1 + len(run.tasks) + sum(
        len(t.attempts) for t in run.tasks
    )


STICKY = """
import sys, time
from spanbook import pipeline, task

if "worker" in sys.argv[0]:
    time.sleep(600)  # as a module does that waits for a lock, or for a server

@task
def never_begins() -> None:
    pass

@pipeline
def sticks():
    never_begins()
"""


def test_what_never_begins_is_stopped(runner):
    """An attempt whose own code does not begin within the limit is an error that says so."""
    done = runner.run(STICKY, SPANBOOK_BEGIN_LIMIT="2")
    assert done.code == 1
    stuck = done.task("never_begins").final
    assert (stuck.result, stuck.error_type) == (Result.ERROR, "NeverBegan")
    assert "SPANBOOK_BEGIN_LIMIT" in stuck.error_message
