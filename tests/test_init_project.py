"""A project that ``spanbook init`` made works as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spanbook_runfile import read_run
from support.stack import Stack


@pytest.mark.slow
def test_a_new_project_runs_and_tells_of_itself(tmp_path: Path) -> None:
    """`make ci` in a fresh project passes; its run file, its site and its job summary are there."""
    folder = tmp_path / "ice-cores"
    stack = Stack(folder / "pipeline-outputs", cwd=folder)
    made = subprocess.run(
        [str(Path(sys.executable).with_name("spanbook")), "init", str(folder)], check=False
    )
    assert made.returncode == 0
    env = {key: value for key, value in stack.env.items() if key != "SPANBOOK_OUTPUTS"}

    def make(target: str) -> "subprocess.CompletedProcess[str]":
        bin_folder = f"BIN={Path(sys.executable).parent}"
        return subprocess.run(
            ["make", target, bin_folder],
            cwd=folder,
            env={**env, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    done = make("ci")
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = stack.run_files()
    run = read_run(file)
    assert (run.pipeline, run.state) == ("ice_cores", "success")
    assert [task.name for task in run.tasks] == ["estimate"] * 4 + ["report"]
    page = folder / "pipeline-outputs/site/runs" / run.id / "index.html"
    assert "ice_cores" in page.read_text()
    assert "How close" in (folder / "pipeline-outputs/site/reports/how-close.html").read_text()
    told = make("summary")
    assert told.returncode == 0, told.stderr
    assert "ice_cores" in told.stdout
