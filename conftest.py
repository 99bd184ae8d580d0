"""For every test of the workspace: a container test without an engine is skipped, and named."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache

import hypothesis
import pytest

HOW_TO_GET_ONE = (
    "no Docker engine answers `docker info`, or `docker compose` is not there: install and start "
    "Docker (https://docs.docker.com/engine/install/), then run this test again"
)


@cache
def engine_answers() -> bool:
    """Whether container tests can run; ``SPANBOOK_ENGINE=local`` says no although one is there."""
    if os.environ.get("SPANBOOK_ENGINE") == "local" or not shutil.which("docker"):
        return False
    asked = (["docker", "info"], ["docker", "compose", "version"])
    return all(
        subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
        for command in asked
    )


def engine_required() -> bool:
    """Whether a container test that cannot run is a failure: so in CI, which asks for it."""
    return os.environ.get("SPANBOOK_REQUIRE_DOCKER") == "1"


@cache
def go_without_ryuk() -> None:
    """Let testcontainers do without its reaper where that image cannot be had; tests clean up themselves."""
    from testcontainers.core.config import testcontainers_config as config

    if "TESTCONTAINERS_RYUK_DISABLED" in os.environ:
        return
    known = subprocess.run(
        ["docker", "image", "inspect", config.ryuk_image], capture_output=True, check=False
    )
    if known.returncode:
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", config.ryuk_image], capture_output=True, check=False
        )
        config.ryuk_disabled = pulled.returncode != 0


def pytest_configure() -> None:
    """CI repeats the same examples of hypothesis; a person's machine looks for new ones.

    What tests start hears Ctrl-C, also where a shell started pytest in the background.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if engine_required():
        hypothesis.settings.load_profile("ci")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a ``docker`` test where no engine answers."""
    if item.get_closest_marker("docker") and not engine_answers():
        if engine_required():
            pytest.fail(f"SPANBOOK_REQUIRE_DOCKER=1, but {HOW_TO_GET_ONE}.", pytrace=False)
        pytest.skip(HOW_TO_GET_ONE)
    if item.get_closest_marker("docker"):
        go_without_ryuk()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count and name the container tests that were skipped."""
    skipped = list(_skipped_for_docker(terminalreporter))
    if skipped:
        terminalreporter.section(f"container tests skipped: {len(skipped)}", yellow=True)
        terminalreporter.write_line(f"Why: {HOW_TO_GET_ONE}.")
        for name in skipped:
            terminalreporter.write_line(f"  {name}")


def _skipped_for_docker(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for report in reporter.stats.get("skipped", ()):
        if isinstance(report.longrepr, tuple) and HOW_TO_GET_ONE in report.longrepr[2]:
            yield report.nodeid
