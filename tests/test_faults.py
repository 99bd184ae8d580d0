"""Bad input and faults on the whole stack: each is told with what to do, and nothing is lost."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from spanbook_runfile import read_journal, read_run
from spanbook_runfile.names import Result
from support.otlp import RawRun, attributes
from support.processes import wait_for
from support.stack import ROOT, Stack, program

pytestmark = pytest.mark.slow

NOTEBOOK = """
# %% tags=["parameters"]
number = 1

# %%
print("before the fault")

# %%
number / 0

# %%
print("never reached")
"""


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack whose outputs and pipelines are in a folder of the test's own."""
    return Stack(tmp_path / "outputs", cwd=tmp_path)


def pipeline(folder: Path, code: str, **notebooks: str) -> str:
    """Write a pipeline and its notebooks; the path to run."""
    folder.joinpath("faulty.py").write_text(dedent(code))
    for name, text in notebooks.items():
        folder.joinpath(f"{name}.py").write_text(text)
    return "faulty.py"


def test_pipeline_that_does_not_import(stack: Stack) -> None:
    """Exit 2, the file and line of the fault, what to do, and no run was begun."""
    path = pipeline(stack.cwd, "import no_such_module\n")
    done = stack.run("run", path, "--local")
    assert done.returncode == 2
    assert "faulty.py" in done.stderr
    assert "No module named 'no_such_module'" in done.stderr
    assert "line 1" in done.stderr or "faulty.py:1" in done.stderr
    assert "install" in done.stderr.lower()
    assert "site-packages/spanbook" not in done.stderr
    assert stack.run_files() == []


def test_pipeline_that_is_not_there(stack: Stack) -> None:
    """Exit 2 and the path that was looked at."""
    done = stack.run("run", "no/such/pipeline", "--local")
    assert done.returncode == 2
    assert "no/such/pipeline" in done.stderr


def test_task_that_raises(stack: Stack) -> None:
    """Exit 1; what depends on it is skipped, the rest finishes, and the traceback is kept."""
    path = pipeline(
        stack.cwd,
        """
        from spanbook import pipeline, task

        @task
        def good() -> int:
            return 1

        @task
        def bad(number: int) -> int:
            print("about to fail")
            raise ValueError("the number is odd")

        @task
        def after(number: int) -> int:
            return number

        @task
        def beside(number: int) -> int:
            return number

        @pipeline
        def faulty():
            number = good()
            after(bad(number))
            beside(number)
        """,
    )
    done = stack.run("run", path, "--local")
    assert done.returncode == 1
    assert "the number is odd" in done.stdout + done.stderr
    (file,) = stack.run_files()
    run = RawRun(file)
    assert run.result == "failure"
    assert run.results() == {
        "good": "success",
        "bad": "failure",
        "after": "skip",
        "beside": "success",
    }
    assert run.exceptions() == ["ValueError"]
    assert "about to fail" in run.printed()
    page = (stack.outputs / "site/runs" / file.stem / "index.html").read_text()
    assert "the number is odd" in page


def test_notebook_with_a_failing_cell(stack: Stack) -> None:
    """Exit 1; the notebook is kept as far as it got, and the page shows it and the error."""
    path = pipeline(
        stack.cwd,
        """
        from spanbook import notebook_task, pipeline

        report = notebook_task("report.py")

        @pipeline
        def faulty():
            report(number=5)
        """,
        report=NOTEBOOK,
    )
    done = stack.run("run", path, "--local")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout + done.stderr
    (file,) = stack.run_files()
    (task,) = read_run(file).tasks
    assert task.result is Result.FAILURE
    assert task.final
    (notebook,) = task.final.artifacts
    text = notebook.data.decode()
    assert notebook.intact
    assert "before the fault" in text
    assert "ZeroDivisionError" in text
    folder = stack.outputs / "site/runs" / file.stem / "tasks" / task.id
    assert "ZeroDivisionError" in folder.joinpath("index.html").read_text()


HELLO = """
from spanbook import log, pipeline, task

@task
def hello() -> None:
    log.metric("answer", 42)

@pipeline
def greeting():
    hello()
"""


def test_collector_that_is_not_up(stack: Stack) -> None:
    """The pipeline runs all the same; the user is told where its data lies, and it is all there."""
    away = Stack(
        stack.outputs,
        cwd=stack.cwd,
        extra={
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint,
            "SPANBOOK_EXPORT_WAIT": "2",
        },
    )
    done = away.run("run", pipeline(stack.cwd, HELLO))
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    (spool,) = stack.outputs.glob("spool/*.journal")
    assert str(spool) in said or str(spool.relative_to(stack.cwd)) in said
    assert stack.endpoint.removeprefix("http://") in said
    assert "spanbook import" in said
    run = read_journal(spool, spool.stem)
    assert run.result is Result.SUCCESS
    assert run.tasks[0].final
    assert run.tasks[0].final.metrics["answer"].last == 42


def test_local_collector_that_does_not_start(stack: Stack) -> None:
    """Exit 1, since there is no sealed run; the collector's log and the way to import are named."""
    extra = {"SPANBOOK_GRACE": "soon", "SPANBOOK_EXPORT_WAIT": "2"}
    broken = Stack(stack.outputs, stack.ports, cwd=stack.cwd, extra=extra)
    done = broken.run("run", pipeline(stack.cwd, HELLO), "--local")
    assert done.returncode == 1, done.stdout
    log = stack.outputs / ".local" / "collector.log"
    assert str(log) in done.stderr
    assert "SPANBOOK_GRACE" in log.read_text()
    assert "spanbook import" in done.stderr
    assert list(stack.outputs.glob("spool/*.journal"))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "variable", ["SPANBOOK_VIEWER_PORT", "SPANBOOK_OTLP_GRPC_PORT", "SPANBOOK_OTLP_HTTP_PORT"]
)
def test_port_in_use(stack: Stack, taken: int, variable: str) -> None:
    """Exit 2 before anything runs; the message names the port and the variable that moves it."""
    busy = Stack(stack.outputs, {**stack.ports, variable: taken}, cwd=stack.cwd)
    with busy.start("run", pipeline(stack.cwd, HELLO), "--local") as running:
        assert running.wait(60) == 2, running.output
        assert str(taken) in running.output
        assert variable in running.output
        assert running.orphans() == []
    assert stack.run_files() == []


def test_empty_and_broken_run_files_do_not_hide_the_others(stack: Stack) -> None:
    """Each bad file has a page that says what is wrong; the good run is on the list."""
    runs = stack.outputs / "runs"
    runs.mkdir(parents=True)
    bad = {"a" * 32: b"", "b" * 32: b'{"resourceSpans": [', "c" * 32: b'{"other": 1}'}
    for name, content in bad.items():
        runs.joinpath(f"{name}.json").write_bytes(content)
    done = stack.run("run", pipeline(stack.cwd, HELLO), "--local")
    assert done.returncode == 0, done.stderr
    (good,) = (file for file in stack.run_files() if file.stem not in bad)
    home = stack.outputs.joinpath("site/index.html").read_text()
    assert f"runs/{good.stem}/index.html" in home
    for name in bad:
        assert f"{name}.json" in home
        page = stack.outputs.joinpath("site/runs", name, "index.html").read_text()
        assert "could not be read" in page
    assert runs.joinpath("b" * 32 + ".json").read_bytes() == bad["b" * 32]


def printing(stack: Stack, text: bytes) -> list[Path]:
    """The journals of runs in progress that hold ``text``."""
    return [j for j in stack.outputs.glob("journals/*.journal") if text in j.read_bytes()]


def test_ctrl_c_after_the_last_task(stack: Stack) -> None:
    """Ctrl-C while the run is being wound up is heard: what is recorded is sealed, and nothing is served."""
    path = pipeline(
        stack.cwd,
        """
        from spanbook import pipeline, task

        @task
        def last() -> None:
            print("done")

        @pipeline
        def short():
            last()
        """,
    )
    with stack.start("run", path, "--local", "--keep-serving") as running:
        running.says("✓ last success", 120)
        running.interrupt()
        code = running.wait(60)
        assert code in (0, 1), running.output
        assert "Traceback" not in running.output
        assert running.orphans() == []
        (file,) = stack.run_files()
    assert RawRun(file).whole["spanbook"]["complete"] is True


def test_interrupted_run_is_sealed_as_cancelled(stack: Stack) -> None:
    """Ctrl-C in the middle: what ran is cancelled and kept, what did not is skipped, no process stays."""
    path = pipeline(
        stack.cwd,
        """
        import subprocess
        import time

        from spanbook import pipeline, task

        @task
        def quick() -> int:
            return 1

        @task
        def slow(number: int) -> int:
            child = subprocess.Popen(["sleep", "600"])
            print("slow began", flush=True)
            child.wait()
            return number

        @task
        def after(number: int) -> int:
            return number

        @pipeline
        def faulty():
            after(slow(quick()))
        """,
    )
    with stack.start("run", path, "--local") as running:
        journals = wait_for(lambda: printing(stack, b"slow began"), 120, "the slow task to print")
        running.interrupt()
        code = running.wait(60)
        assert code in (1, 130), running.output
        assert running.orphans() == []
    (file,) = stack.run_files()
    assert file.stem == journals[0].stem
    run = RawRun(file)
    assert run.result == "cancellation"
    assert run.results() == {"quick": "success", "slow": "cancellation", "after": "skip"}
    assert "slow began" in run.printed()
    assert attributes(run.run_span)["spanbook.declared.spans"] == str(len(run.spans))


SUBCOMMAND = {"spanbook": ("run", "x"), "spanbook-site": ("build",)}
COMMANDS = ("spanbook", "spanbook-collector", "spanbook-site", "spanbook-viewer")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_and_a_wrong_flag_is_exit_code_2(command: str, stack: Stack) -> None:
    """Every command explains itself, and a usage error is told apart from a failed pipeline."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program(command), *arguments],
            cwd=ROOT,
            env=stack.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    helped = call("--help")
    assert helped.returncode == 0
    assert "usage" in helped.stdout.lower()
    wrong = call(*SUBCOMMAND.get(command, ()), "--no-such-flag")
    assert wrong.returncode == 2
    assert "no-such-flag" in wrong.stderr
