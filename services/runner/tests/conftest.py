"""Runs pipelines with the real command on the real Ray; the records are read from the spool."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from spanbook_runfile import Run, Task, read_journal

SPANBOOK = str(Path(sys.executable).with_name("spanbook"))


@dataclass
class Done:
    """A run that ended: exit code, output, and what it recorded."""

    code: int
    out: str
    err: str
    run: Run | None
    seconds: float

    @property
    def recorded(self) -> Run:
        """What was recorded; there must be something."""
        assert self.run is not None, self.out + self.err
        return self.run

    def task(self, title: str) -> Task:
        """The task of this name, or name and label."""
        found = [t for t in self.recorded.tasks if title in (t.name, t.title)]
        assert len(found) == 1, [t.title for t in self.recorded.tasks]
        return found[0]


class Runner:
    """A folder with a pipeline, and the command to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = folder / "outputs"

    def write(self, code: str, name: str = "pipeline.py") -> Path:
        """Write a file of the pipeline."""
        path = self.folder / name
        path.write_text(textwrap.dedent(code))
        return path

    def env(self, **extra: str) -> dict[str, str]:
        """An environment in which no collector answers, so that all records stay on the spool."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SPANBOOK_", "OTEL_", "GITHUB_", "RAY_"))
        }
        return {
            **clean,
            "SPANBOOK_OUTPUTS": str(self.outputs),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "SPANBOOK_EXPORT_WAIT": "0.1",
            **extra,
        }

    def start(self, *words: str, target: str = "", **env: str) -> "subprocess.Popen[str]":
        """Start ``spanbook run … pipeline.py``, or another ``target``."""
        return subprocess.Popen(
            [SPANBOOK, "run", target or str(self.folder), *words],
            env=self.env(**env),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]", seconds: float = 300) -> Done:
        """Wait for it, and read what it recorded."""
        began = time.monotonic()
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"still running after {seconds:g} s:\n{out}{err}")
        spools = sorted(self.outputs.glob("spool/*.journal"), key=lambda p: p.stat().st_mtime_ns)
        run = read_journal(spools[-1], spools[-1].stem) if spools else None
        return Done(process.returncode, out, err, run, time.monotonic() - began)

    def run(self, code: str = "", *words: str, seconds: float = 300, **env: str) -> Done:
        """Run a pipeline to its end."""
        if code:
            self.write(code)
        return self.finish(self.start(*words, **env), seconds)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A folder of its own for a pipeline."""
    return Runner(tmp_path)


@pytest.fixture(scope="module")
def module_runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A folder shared by the tests of a module, for one run that many tests look at."""
    return Runner(tmp_path_factory.mktemp("pipeline"))


def marked(mark: str) -> list[psutil.Process]:
    """The living processes whose command line holds ``mark``."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def living() -> Callable[[str], list[psutil.Process]]:
    """Finds living processes by a mark in their command line."""
    return marked
