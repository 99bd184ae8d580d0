"""Kernels are processes that can be killed, and leave nothing behind whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from spanbook.kernelhost import MARKER
from spanbook.warm import HOST_VARIABLE, KernelHost, imports_of, kernel_host

WORKER = """
import os, sys
from spanbook.attempt import AttemptSpec, NotebookSource
from spanbook.emitter import Emitter
from spanbook.notebook import run_notebook
from spanbook.settings import Limits
from spanbook_runfile.names import TaskType

class Driver:
    def running(self): pass
    def stash(self, batch): pass
    def on_stop(self, callback): pass

text = '''# %%
import os, subprocess, time
child = subprocess.Popen(["sleep", "1000"])
away = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open("pids", "w") as stream:
    stream.write(f"{os.getpid()} {os.getppid()} {child.pid} {away.pid} .")
while True: sum(range(10_000_000))
'''
os.environ["SPANBOOK_ATTEMPT_ID"] = "cd" * 8  # as the worker does
spec = AttemptSpec(run_id="ab" * 16, task_id="01" * 8, span_id="cd" * 8, number=1, name="n",
    type=TaskType.NOTEBOOK, function=None, arguments={}, upstream=frozenset(), limits=Limits(),
    notebook=NotebookSource("n.py", os.getcwd(), text, ".py"))
run_notebook(spec, Emitter(spec.run_id, spec.span_id, lambda batch: None), Driver())
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a notebook which never ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.wait()


def pids(folder: Path) -> list[int]:
    """Kernel, host, the kernel's child, and the child in a session of its own."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (file := folder / "pids").exists() and (text := file.read_text()).endswith("."):
            return [int(pid) for pid in text.split()[:-1]]
        time.sleep(0.05)
    pytest.fail("the notebook did not start")


def gone(ids: list[int], seconds: float = 2.0) -> bool:
    """Whether all of them have ended, within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(alive, ids)):
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_worker_killed(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """When a worker is killed, its kernel and all that the kernel started are gone within 2 s."""
    kernel, host, child, away = pids(tmp_path)
    worker.kill()
    assert gone([kernel, host, child, away])


def test_host_killed(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """When the host is killed its kernels end too, and the worker is told."""
    kernel, host, child, away = pids(tmp_path)
    os.kill(host, signal.SIGKILL)
    assert gone([host, kernel])
    assert worker.wait(30) == 1
    for orphan in (child, away):  # the driver finds them by their mark (spanbook.kill)
        assert psutil.Process(orphan).environ()[MARKER] == "cd" * 8
        os.kill(orphan, signal.SIGKILL)


def test_kernel_killed(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """When a kernel is killed from outside, what it started is killed too, and the worker is told."""
    kernel, _, child, away = pids(tmp_path)
    os.kill(kernel, signal.SIGKILL)
    assert gone([kernel, child, away])
    assert worker.wait(30) == 1


def test_shared_host(tmp_path: Path) -> None:
    """Workers use the host that their environment names; a killed worker leaves it to the others."""
    host = KernelHost()
    environment = {**os.environ, HOST_VARIABLE: host.address}
    folders = [tmp_path / name for name in "ab"]
    workers = []
    try:
        for folder in folders:
            folder.mkdir()
            workers.append(
                subprocess.Popen([sys.executable, "-c", WORKER], cwd=folder, env=environment)
            )
        first, second = map(pids, folders)
        assert first[1] == second[1] == host.pid
        workers[0].kill()
        assert gone([first[0], *first[2:]])
        assert alive(second[0])
        assert host.alive
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        host.close()
    assert gone([*second])


def test_host_that_is_not_there(tmp_path: Path) -> None:
    """On a machine where the named host is not, a worker starts its own."""
    environment = {**os.environ, HOST_VARIABLE: "/no/such/socket"}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        kernel, *_ = pids(tmp_path)
        assert alive(kernel)
    finally:
        worker.kill()
        worker.wait()


def test_one_mark() -> None:
    """The mark by which the host finds an attempt's processes is the one that the worker sets."""
    from spanbook import worker

    assert worker.MARKER == MARKER


def test_kernel_host_for_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with notebooks has a host while it lasts; one without has none."""
    monkeypatch.delenv(HOST_VARIABLE, raising=False)
    with kernel_host([]):
        assert HOST_VARIABLE not in os.environ
    with kernel_host(["import os\n"]):
        address = Path(os.environ[HOST_VARIABLE])
        assert address.is_socket()
    assert HOST_VARIABLE not in os.environ
    assert not address.parent.exists()


def test_imports_that_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is imported beforehand; one's own modules, and what must not be forked, are not."""
    (tmp_path / "my_own.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    text = """
# %%
import numpy as np
import json, my_own, not_there
from pandas.api import types
import ray
    import wave
"""
    assert imports_of([text, '"import csv\\n",']) == [
        "numpy",
        "json",
        "pandas.api",
        "pandas.io.formats.html",
        "wave",
        "csv",
    ]
