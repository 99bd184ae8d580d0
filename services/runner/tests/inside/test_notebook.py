"""A notebook task runs in a kernel of its own, records like any task, and is always kept."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from spanbook.document import split_arguments
from spanbook.errors import KernelError, TaskError

Run = Callable[..., Any]


class Pair(NamedTuple):
    """A value of a class that JSON does not know."""

    left: Any
    right: Any


def test_values_in_and_out(run_notebook: Run) -> None:
    """Parameters are written into the notebook, other values are there by name, a result comes back."""
    array = np.arange(6).reshape(2, 3)
    nb = run_notebook(
        """
        # %% tags=["parameters"]
        n = 1
        data = None
        names = []

        # %%
        from spanbook import log
        log.result({"n": n, "sum": data["array"].sum(), "array": data["array"] * n, "names": names})
        """,
        {"n": 3, "data": {"array": array}, "names": ["a", 'b"\n']},
    )
    assert nb.error is None
    assert nb.result["sum"] == 15
    assert (nb.result["array"] == array * 3).all()
    assert nb.result["names"] == ["a", 'b"\n']
    (injected,) = [
        c for c in nb.document.cells if "injected-parameters" in c.metadata.get("tags", ())
    ]
    assert "n = 3" in injected.source
    assert 'data = upstream("data")' in injected.source
    assert len(nb.driver.began) == 1


def test_no_result_is_none(run_notebook: Run) -> None:
    """A notebook that hands nothing over gives None."""
    nb = run_notebook("# %%\n1 + 1\n")
    assert (nb.result, nb.error) == (None, None)
    assert "'text/plain': '2'" in nb.outputs()


def test_everything_is_recorded(run_notebook: Run) -> None:
    """``log``, prints of all kinds and files record to the attempt, from inside the kernel."""
    nb = run_notebook(
        """
        # %%
        import os, subprocess, sys
        from spanbook import log
        print("printed")
        print("to stderr", file=sys.stderr)
        _ = subprocess.run(["sh", "-c", "echo from the shell"])
        for step in range(1000):
            log.metric("loss", 1 / (step + 1), step)
        log.value("v", {"a": [1, None]})
        log.text("note", "hello")
        # %%
        import logging
        logging.getLogger("x").warning("logged")
        """
    )
    attempt = nb.attempt
    lines = [(line.stream, line.text) for line in attempt.logs]
    assert ("stdout", "printed") in lines
    assert ("stderr", "to stderr") in lines
    assert ("stdout", "from the shell") in lines
    assert any("logged" in text for _, text in lines)
    assert len(attempt.metrics["loss"].values) == 1000
    assert attempt.values["v"] == {"a": [1, None]}
    assert sorted(a.path for a in attempt.artifacts) == ["note.txt", "notebook.ipynb"]
    assert {a.path: a.kind for a in attempt.artifacts}["notebook.ipynb"] == "notebook"
    assert "printed" in nb.outputs()


def test_nothing_but_the_notebooks_own_lines(run_notebook: Run) -> None:
    """The tools that run a notebook do not write into its log."""
    import logging

    root = logging.getLogger()
    seen: list[str] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    handler, level = Seen(), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        run_notebook("# %%\n1\n", {"unknown": 1})
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert seen == []


def test_failing_cell(run_notebook: Run) -> None:
    """A failing cell ends the notebook: what ran is kept, the error is the user's own, with its cell."""
    nb = run_notebook(
        """
        # %%
        print("ran")
        # %%
        def wrong(): return 1 / 0
        wrong()
        # %%
        print("never ran")
        """
    )
    assert nb.error.error_type == "ZeroDivisionError"
    assert "division by zero" in str(nb.error)
    assert "cell [2]" in str(nb.error)
    assert "wrong()" in nb.error.stacktrace
    assert "\x1b" not in nb.error.stacktrace
    assert "papermill" not in nb.error.stacktrace
    assert "ran" in nb.outputs()
    assert "ZeroDivisionError" in nb.outputs()
    assert not any("never" in line.text for line in nb.attempt.logs)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL.*memory"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os._exit(7)", "exit code 7"),
    ],
)
def test_dead_kernel(run_notebook: Run, code: str, message: str) -> None:
    """A kernel that dies is told apart, with what is known of its end; the notebook is kept."""
    nb = run_notebook(f"# %%\nprint('before')\n# %%\n{code}\n")
    assert isinstance(nb.error, KernelError)
    with pytest.raises(KernelError, match=message):
        raise nb.error
    assert "before" in nb.outputs()


def test_figures_are_shown_and_logged(run_notebook: Run) -> None:
    """A figure is in the notebook and a file; one changed after it was logged is shown as changed."""
    import base64
    import hashlib

    nb = run_notebook(
        """
        # %%
        import matplotlib.pyplot as plt
        from spanbook import log
        # %%
        fig, ax = plt.subplots(); ax.plot([1, 2])
        log.figure("same", fig)
        # %%
        fig, ax = plt.subplots(); ax.plot([1, 2])
        log.figure("changed", fig)
        ax.set_title("later")
        # %%
        fig, ax = plt.subplots(); _ = ax.plot([1, 3])
        """
    )
    assert nb.error is None
    shown = [
        base64.b64decode(o.data["image/png"])
        for cell in nb.document.cells
        for o in cell.get("outputs", ())
        if "image/png" in o.get("data", {})
    ]
    assert len(shown) == 3
    logged = {a.path: a.data for a in nb.attempt.artifacts}
    assert shown[0] == logged["same.png"]
    assert shown[1] != logged["changed.png"]
    assert len({hashlib.sha256(x).digest() for x in shown}) == 3


def test_a_secret_that_is_loaded_late(run_notebook: Run) -> None:
    """It is masked though nothing is logged, in what is printed at once and in the notebook."""
    nb = run_notebook(
        """
        # %%
        import os
        print("before")
        os.environ["LATE_TOKEN"] = "loaded-" + "in-the-notebook"
        print(os.environ["LATE_TOKEN"])
        """
    )
    assert [line.text for line in nb.attempt.logs] == ["before", "***"]
    assert b"loaded-in-the-notebook" not in nb.attempt.artifacts[0].data


def test_secrets_are_masked(run_notebook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret does not show in the notebook: not in a parameter, an output, or a traceback."""
    monkeypatch.setenv("SOME_PASSWORD", 'p"w/with\\odd')
    nb = run_notebook(
        """
        # %% tags=["parameters"]
        url = ""
        # %%
        import os
        from spanbook import log
        print(os.environ["SOME_PASSWORD"])
        log.param("given", os.environ["SOME_PASSWORD"])
        os.environ["LATE_TOKEN"] = "loaded-in-the-notebook"
        print("loaded-in-the-notebook")
        # %%
        raise ValueError(os.environ["SOME_PASSWORD"], url)
        """,
        {"url": "https://user:hunter2@host/db"},
    )
    (artifact,) = nb.attempt.artifacts
    text = artifact.data.decode() + str(nb.attempt.logs) + str(nb.attempt.parameters)
    for secret in ("odd", "hunter2", 'print(\\"loaded'):
        assert secret not in text.replace("with_odd_cells", "")
    printed = "\n".join(line.text for line in nb.attempt.logs)
    assert printed.count("***") == 2


def texts(batch: Any) -> str:
    """The notebook that a stashed batch holds."""
    from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs

    records = ScopeLogs.FromString(batch.log_records).log_records
    return b"".join(r.body.bytes_value for r in records).decode()


def test_snapshots(run_notebook: Run) -> None:
    """While a long cell runs the driver has a copy of the notebook, with the cell's output so far."""
    nb = run_notebook(
        """
        # %%
        import time
        for n in range(5):
            print("step", n)
            time.sleep(0.7)
        """
    )
    copies = [texts(batch) for batch in nb.driver.stashed]
    assert len(copies) >= 3
    assert "step 0" in copies[0]
    assert "step 4" not in copies[0]
    assert "step 3" in copies[-1]


def test_copies_have_ids_of_their_own(run_notebook: Run, as_attempt: Callable[..., Any]) -> None:
    """A stashed copy can be recorded beside what was sent, and reads as the notebook."""
    nb = run_notebook("# %%\nimport time\nprint('x')\ntime.sleep(1.5)\n")
    (artifact,) = as_attempt(nb.driver.stashed[-1:]).artifacts
    assert artifact.path == "notebook.ipynb"
    assert artifact.intact


def test_arguments_are_split() -> None:
    """Plain values of bounded size are written into the notebook, all else is handed over."""
    plain = {
        "a": 1,
        "b": None,
        "c": 0.5,
        "d": "x",
        "e": [1, "y"],
        "f": {"k": [True]},
        "g": float("nan"),
    }
    other = {
        "p": (1, 2),
        "q": {1: 2},
        "r": np.float64(1),
        "s": "x" * 5000,
        "t": list(range(5000)),
        "u": b"x",
        "v": Pair(1, 2),
        "w": [{"deep": {1, 2}}],
        "x": True if False else type,
    }
    literals, upstream = split_arguments({**plain, **other})
    assert literals.keys() == plain.keys()
    assert upstream.keys() == other.keys()


def test_argument_that_does_not_pickle(run_notebook: Run) -> None:
    """An argument that cannot be handed over is named, and nothing runs."""
    nb = run_notebook("# %%\n1\n", {"lock": threading.Lock()})
    assert isinstance(nb.error, TaskError)
    assert "'lock'" in str(nb.error)
    assert nb.driver.began == []
    assert nb.document.cells


def test_result_that_does_not_pickle(run_notebook: Run) -> None:
    """A result that cannot be handed over fails the cell that hands it over."""
    nb = run_notebook(
        "# %%\nimport threading\nfrom spanbook import log\nlog.result(threading.Lock())\n"
    )
    assert nb.error.error_type == "LogError"
    assert "log.result" in str(nb.error)


def test_own_folder_and_modules(run_notebook: Run, tmp_path: Path) -> None:
    """A notebook runs in its own folder, so that modules and files beside it are found."""
    (tmp_path / "beside.py").write_text("VALUE = 42\n")
    nb = run_notebook(
        "# %%\nimport beside, os\nfrom spanbook import log\nlog.result((beside.VALUE, os.getcwd()))\n",
        folder=str(tmp_path),
    )
    assert nb.error is None
    assert nb.result == (42, str(tmp_path))


def test_output_is_bounded(run_notebook: Run) -> None:
    """A cell that prints without end makes neither the notebook nor the log without end."""
    nb = run_notebook(
        "# %%\nfor n in range(400_000): print('y' * 99)\nprint('the end')\n",
        max_output_bytes=1 << 20,
    )
    assert nb.error is None
    (artifact,) = nb.attempt.artifacts
    assert artifact.size < 3 << 20
    assert sum(len(line.text) for line in nb.attempt.logs) < 1_200_000
    assert nb.attempt.dropped_output_bytes > 38_000_000
    assert nb.attempt.logs[-1].text == "the end"


def test_huge_notebook_fits(run_notebook: Run) -> None:
    """A notebook over the limit of a file gives up its largest outputs, and says so there."""
    nb = run_notebook(
        """
        # %%
        from IPython.display import HTML, display
        display(HTML("<b>small</b>"))
        display(HTML("x" * 3_000_000))
        """,
        max_file_bytes=1 << 20,
    )
    (artifact,) = nb.attempt.artifacts
    assert artifact.size < 1 << 20
    assert "<b>small</b>" in nb.outputs()
    assert "left out" in nb.outputs()


def test_result_of_a_class_that_only_the_notebook_knows(run_notebook: Run, tmp_path: Path) -> None:
    """A result that cannot be read outside the notebook is an error that says why."""
    (tmp_path / "only_here.py").write_text("class Thing: pass\n")
    nb = run_notebook(
        "# %%\nimport only_here\nfrom spanbook import log\nlog.result(only_here.Thing())\n",
        folder=str(tmp_path),
    )
    assert isinstance(nb.error, TaskError)
    assert "only_here" in str(nb.error)


def test_threads_as_granted(run_notebook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that were loaded beforehand use the number of threads that the worker has."""
    from spanbook.warm import HOST_VARIABLE, KernelHost

    host = KernelHost(["numpy", "threadpoolctl"])
    monkeypatch.setenv(HOST_VARIABLE, host.address)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        nb = run_notebook(
            """
            # %%
            import numpy, threadpoolctl
            from spanbook import log
            log.result([pool["num_threads"] for pool in threadpoolctl.threadpool_info()])
            """
        )
    finally:
        host.close()
    assert nb.result
    assert set(nb.result) == {1}


def test_random_numbers_differ(run_notebook: Run) -> None:
    """Two notebooks do not draw the same random numbers, although their kernels are of one stock."""
    code = """
        # %%
        import random, numpy as np
        from spanbook import log
        log.result((random.random(), np.random.rand()))
        """
    first, second = run_notebook(code).result, run_notebook(code).result
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_nothing_is_left(run_notebook: Run) -> None:
    """After a notebook its kernel and all that it started are gone, and its sockets with it."""
    nb = run_notebook(
        "# %%\nimport os, subprocess\nfrom spanbook import log\n"
        "child = subprocess.Popen(['sleep', '1000'])\nlog.result((os.getpid(), child.pid))\n"
    )
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, nb.result)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, nb.result))


def test_one_kernel_is_as_good_as_new(run_notebook: Run) -> None:
    """Nothing of one notebook is there in the next: variables, modules, environment."""
    run_notebook("# %%\nleft = 1\nimport wave, os\nos.environ['LEFT'] = '1'\n")
    nb = run_notebook(
        "# %%\nimport os, sys\nfrom spanbook import log\n"
        "log.result(('left' in globals(), 'wave' in sys.modules, 'LEFT' in os.environ))\n"
    )
    assert nb.result == (False, False, False)


def test_environment_is_the_workers(run_notebook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook has the environment and the import path of the worker, as they are now."""
    monkeypatch.setenv("FRESH", "yes")
    monkeypatch.syspath_prepend("/some/where")
    nb = run_notebook(
        "# %%\nimport os, sys\nfrom spanbook import log\n"
        "log.result((os.environ['FRESH'], '/some/where' in sys.path))\n"
    )
    assert nb.result == ("yes", True)


def test_upstream_is_named_in_errors(run_notebook: Run) -> None:
    """Asking for a value that is not handed over says which there are."""
    nb = run_notebook("# %%\nfrom spanbook import upstream\nupstream('b')\n", {"a": (1,)})
    assert nb.error.error_type == "UpstreamError"
    assert "it hands 'a'" in str(nb.error)


def test_by_hand() -> None:
    """Outside a pipeline ``upstream`` takes what is said instead, or says how to say it."""
    from spanbook import upstream
    from spanbook.errors import UpstreamError

    assert upstream("data", otherwise=lambda: 5) == 5
    with pytest.raises(UpstreamError, match="otherwise="):
        upstream("data")
