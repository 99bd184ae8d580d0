"""Cancelling a run, and runners that die whole."""

import signal
import time

import psutil
import pytest
from spanbook_runfile.names import Result
from support.processes import wait_for

PIPELINE = """
import subprocess, sys, time
from spanbook import pipeline, task

@task
def first() -> int:
    return 1

@task
def long(value: int, mark: str) -> None:
    print("working")
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)", mark])

@task(retries=3, backoff=600)
def waiting() -> None:
    raise ValueError("try me later")

@task
def after(value) -> None:
    pass

@pipeline
def slow(mark: str):
    value = first()
    after(long(value, mark))
    waiting()
"""


def begin(runner, mark, living):
    """Start the pipeline and wait until its long task works."""
    runner.write(PIPELINE)
    process = runner.start("--param", f"mark={mark}")
    deadline = time.monotonic() + 200
    while not any("sleep" in " ".join(p.cmdline()) for p in living(mark)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(1.0)
    return process


def test_what_never_began_is_skipped(runner, living):
    """Tasks that wait for a CPU when the run is cancelled have no attempt, and are skipped."""
    runner.write(
        """
        import time
        from spanbook import pipeline, task

        @task
        def busy(number: int, mark: str) -> None:
            print("began")
            time.sleep(600)

        @pipeline
        def crowd(mark: str):
            for number in range(200):
                busy(number, mark)
        """
    )
    process = runner.start("--param", "mark=m", SPANBOOK_CPUS="1")
    spools = runner.outputs / "spool"
    deadline = time.monotonic() + 200
    while not any(b"began" in path.read_bytes() for path in spools.glob("*.journal")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    run = runner.finish(process, 60).recorded
    (began,) = [task for task in run.tasks if task.attempts]
    assert began.result is Result.CANCELLATION
    rest = [task for task in run.tasks if task is not began]
    assert len(rest) == 199
    assert all(task.result is Result.SKIP and task.cause is None for task in rest)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run(runner, living, number):
    """Ctrl-C and SIGTERM stop the tasks, record cancellation, and leave no process."""
    mark = f"spanbook-cancel-{time.time_ns()}"
    process = begin(runner, mark, living)
    sent = time.monotonic()
    process.send_signal(number)
    done = runner.finish(process, 60)
    assert time.monotonic() - sent < 25
    assert done.code == 1, done.out + done.err
    run = done.recorded
    assert run.result is Result.CANCELLATION
    assert done.task("first").result is Result.SUCCESS
    long = done.task("long")
    assert long.result is Result.CANCELLATION
    assert [line.text for line in long.final.logs] == ["working"]
    after = done.task("after")
    assert (after.result, after.cause, after.attempts) == (Result.SKIP, None, ())
    assert done.task("waiting").result is Result.CANCELLATION
    assert living(mark) == []
    assert "Traceback" not in done.err


def test_a_runner_that_dies_whole_leaves_what_was_recorded(runner, living):
    """After ``kill -9`` of the runner its spool holds all up to then, and its tasks end too."""
    mark = f"spanbook-dead-{time.time_ns()}"
    process = begin(runner, mark, living)
    process.kill()
    done = runner.finish(process, 60)
    run = done.recorded
    assert run.result is None
    assert done.task("first").result is Result.SUCCESS
    assert done.task("long").state == "running"
    deadline = time.monotonic() + 30
    while living(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert living(mark) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_ray_starts(runner, number):
    """Nothing is recorded yet: the program ends at once, in good order, and takes Ray with it."""
    runner.write(PIPELINE)
    process = runner.start("--param", "mark=none")
    parent = psutil.Process(process.pid)

    def started():
        assert process.poll() is None
        return [child for child in parent.children() if "gcs_server" in child.name()]

    wait_for(started, 120, "Ray's first process")
    children = parent.children(recursive=True)
    process.send_signal(number)
    done = runner.finish(process, 60)
    assert (done.code, done.err, done.run) == (1, "spanbook: stopped.\n", None)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_ctrl_c_while_python_imports(runner, tmp_path):
    """The program ends of the signal, as any does, and shows no traceback."""
    runner.write(PIPELINE)
    slow = tmp_path / "slow"
    slow.mkdir()
    began = tmp_path / "began"
    (slow / "cloudpickle.py").write_text(
        f"import pathlib, time\npathlib.Path({str(began)!r}).touch()\ntime.sleep(600)\n"
    )
    process = runner.start(PYTHONPATH=str(slow))
    wait_for(began.exists, 120, "the import")
    process.send_signal(signal.SIGINT)
    done = runner.finish(process, 60)
    assert (done.code, done.out, done.err) == (-signal.SIGINT, "", "")


def test_two_signals_at_once_are_one(runner, living):
    """A wrapper that passes on what the terminal has sent already does not break the run off."""
    mark = f"spanbook-twice-{time.time_ns()}"
    process = begin(runner, mark, living)
    process.send_signal(signal.SIGSTOP)  # so that both have come before either is handled
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    done = runner.finish(process, 60)
    assert done.code == 1
    assert done.recorded.result is Result.CANCELLATION
    assert "Traceback" not in done.err


def test_an_impatient_user(runner, living):
    """Ctrl-C again and again breaks off the run's own end: no traceback, and no process is left."""
    mark = f"spanbook-again-{time.time_ns()}"
    process = begin(runner, mark, living)
    children = psutil.Process(process.pid).children(recursive=True)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.6)
    done = runner.finish(process, 60)
    assert done.code == 1
    assert done.run is not None
    assert "Traceback" not in done.out + done.err
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert living(mark) == []
