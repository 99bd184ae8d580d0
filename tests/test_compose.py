"""The whole stack in containers, as ``docker compose up --build`` brings it up."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.otlp import RawRun, demo_dag
from support.processes import Program, wait_for
from support.stack import ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SERVICES = ("collector", "site-builder", "viewer", "runner")
OWNER = os.getuid() or 12345  # root's CI shows that it is not root who owns the outputs


@dataclass
class Compose:
    """One project of the root's compose file, moved out of the way of any other by a .env file."""

    project: str
    env_file: Path
    stack: Stack

    @property
    def command(self) -> list[str]:
        """``docker compose`` for this project."""
        return ["docker", "compose", "--env-file", str(self.env_file), "-p", self.project]

    @property
    def env(self) -> dict[str, str]:
        """The environment without variables that come before the .env file's."""
        return {k: v for k, v in os.environ.items() if not k.startswith(("SPANBOOK_", "GITHUB_"))}

    def call(self, *arguments: str, seconds: float = 300) -> str:
        """Run ``docker compose …``; what it printed."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each service's container."""
        ids = self.call("ps", "--all", "--quiet").split()
        if not ids:
            return {}
        listed = subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True)
        label = "com.docker.compose.service"
        return {c["Config"]["Labels"][label]: c for c in json.loads(listed.stdout)}

    def runner_exit_code(self) -> int | None:
        """The runner's exit code, once it has one."""
        state = self.containers().get("runner", {}).get("State", {})
        return int(state["ExitCode"]) if state.get("Status") == "exited" else None


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A project of its own, with free ports; nothing of it is left behind."""
    folder = tmp_path_factory.mktemp("compose")
    stack = Stack(folder / "outputs")
    stack.outputs.mkdir()
    folder.parent.chmod(0o755)  # pytest's folders are closed to the containers' user
    folder.chmod(0o755)
    settings = {
        **stack.ports,
        "SPANBOOK_UID": OWNER,
        "SPANBOOK_GID": OWNER,
        "SPANBOOK_OUTPUTS_DIR": stack.outputs,
    }
    env_file = folder / ".env"
    env_file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    project = Compose(f"spanbook-test-{secrets.token_hex(4)}", env_file, stack)
    yield project
    project.call("down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def up(compose: Compose) -> Iterator[Program]:
    """``docker compose up --build`` in the foreground, until the runner has ended."""
    with Program([*compose.command, "up", "--build"], compose.env, ROOT) as program:

        def ended() -> bool:
            assert program.process.poll() is None, program.output
            return compose.runner_exit_code() is not None

        wait_for(ended, 900, "the runner's end", every=2)
        yield program


def test_up_builds_runs_the_demo_and_shows_it(compose: Compose, up: Program) -> None:
    """One command: four images, one run with visible progress, its page, and where to look."""
    assert compose.runner_exit_code() == 0, up.output
    assert compose.stack.url in up.output
    assert "benchmark-model" in up.output
    (file,) = wait_for(compose.stack.run_files, 10, "the seal")
    run = RawRun(file)
    assert run.result == "success"
    assert run.dag() == demo_dag(400, 500, 600)
    wait_for(lambda: shown(compose.stack, file), 5, "the run's page")
    assert file.stem in compose.stack.page("index.html")


def test_outputs_belong_to_the_caller(compose: Compose, up: Program) -> None:
    """Run file and site are the caller's own, though containers wrote them."""
    outputs = compose.stack.outputs
    written = [*outputs.glob("runs/*.json"), outputs / "site/index.html"]
    assert len(written) == 2
    for path in written:
        assert (path.stat().st_uid, path.stat().st_gid) == (OWNER, OWNER), path
    assert written[0].stat().st_mode & 0o777 == 0o444


def test_containers_can_do_no_more_than_they_must(compose: Compose, up: Program) -> None:
    """No root, no new privileges, a read-only root, limits, and ports on 127.0.0.1 only."""
    containers = compose.containers()
    for service in SERVICES:
        container = containers[service]
        host = container["HostConfig"]
        assert container["Config"]["User"] == f"{OWNER}:{OWNER}"
        assert host["ReadonlyRootfs"] is True
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        bindings = [b for found in (host["PortBindings"] or {}).values() for b in found]
        assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings)
    assert containers["collector"]["State"]["Health"]["Status"] == "healthy"
    assert containers["viewer"]["State"]["Health"]["Status"] == "healthy"


def test_a_second_run_shows_beside_the_first_within_5_s(compose: Compose, up: Program) -> None:
    """``docker compose run --rm runner`` runs it again, and leaves no container of its own."""
    before = set(compose.stack.run_files())
    with Program([*compose.command, "run", "--rm", "-T", "runner"], compose.env, ROOT) as second:
        (file,) = wait_for(lambda: set(compose.stack.run_files()) - before, 180, "the second seal")
        wait_for(lambda: shown(compose.stack, file), 5, "the second run's page")
        home = compose.stack.page("index.html")
        assert all(path.stem in home for path in compose.stack.run_files())
        assert second.wait(60) == 0, second.output
    names = [c["Name"] for c in compose.containers().values()]
    assert not [name for name in names if "runner-run" in name]


def test_down_leaves_nothing_but_the_outputs(compose: Compose, up: Program) -> None:
    """Containers, networks and volumes are gone; the run files stay."""
    compose.call("down", "--volumes", "--remove-orphans")
    label = f"label=com.docker.compose.project={compose.project}"
    for command in (["ps", "--all"], ["network", "ls"], ["volume", "ls"]):
        left = subprocess.run(
            ["docker", *command, "--quiet", "--filter", label],
            capture_output=True,
            text=True,
            check=True,
        )
        assert left.stdout == "", command
    assert len(compose.stack.run_files()) == 2


def shown(stack: Stack, file: Path) -> bool:
    """Whether the run has its page, and the page is that of a sealed run: it offers the file."""
    return f"{file.stem}.json" in stack.page(f"runs/{file.stem}/index.html")
