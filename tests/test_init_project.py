"""A project that ``spanbook init`` made works as it is."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from spanbook_runfile import read_run
from support.images import build_image
from support.processes import free_ports
from support.stack import Stack, program


@pytest.mark.slow
def test_a_new_project_runs_and_tells_of_itself(tmp_path: Path) -> None:
    """`make ci` in a fresh project passes; its run file, its site and its job summary are there."""
    folder = tmp_path / "ice-cores"
    stack = Stack(folder / "pipeline-outputs", cwd=folder)
    subprocess.run([program("spanbook"), "init", str(folder)], check=True)
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


@pytest.mark.docker
@pytest.mark.slow
def test_a_new_projects_containers_run_it(tmp_path: Path) -> None:
    """The project's compose file runs its pipeline, here with images of this tree."""
    folder = tmp_path / "ice-cores"
    subprocess.run([program("spanbook"), "init", str(folder)], check=True)
    for service in ("collector", "site-builder", "viewer", "runner"):
        build_image(service)
    owner = os.getuid() or 12345
    settings = {
        "SPANBOOK_IMAGES": "",
        "SPANBOOK_VERSION": "test",
        "SPANBOOK_VIEWER_PORT": free_ports(1)[0],
        "SPANBOOK_UID": owner,
        "SPANBOOK_GID": owner,
        "COMPOSE_PROJECT_NAME": f"init-{secrets.token_hex(4)}",
    }
    (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SPANBOOK_", "COMPOSE_"))}

    def compose(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["docker", "compose", *arguments],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    try:
        done = compose("run", "--rm", "--build", "runner")
        logs = compose("logs")
    finally:
        compose("down", "--remove-orphans", "--rmi", "local", "--volumes")
    assert done.returncode == 0, done.stdout + done.stderr + logs.stdout
    (file,) = (folder / "pipeline-outputs/runs").glob("*.json")
    assert read_run(file).state == "success"
    assert file.stat().st_uid == owner
