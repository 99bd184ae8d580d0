"""The whole stack in containers, as ``docker compose up --build`` brings it up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose import OWNER, Compose, project
from support.otlp import RawRun, demo_dag
from support.processes import Program, wait_for
from support.stack import ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SERVICES = ("collector", "site-builder", "viewer", "runner")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A project of its own, with free ports; nothing of it is left behind."""
    with project(tmp_path_factory.mktemp("compose")) as made:
        yield made


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
