"""The rule of the root ``conftest.py``, on a pytest of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = """
import pytest

@pytest.mark.docker
def test_container():
    pass

def test_plain():
    pass
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A project with one container test and one plain test."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    tmp_path.joinpath("pytest.ini").write_text("[pytest]\nmarkers = docker: needs Docker\n")
    tmp_path.joinpath("test_sample.py").write_text(SAMPLE)
    return tmp_path


def run_pytest(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in ``folder`` as on a machine without an engine."""
    clean = {k: v for k, v in os.environ.items() if k != "SPANBOOK_REQUIRE_DOCKER"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**clean, "SPANBOOK_ENGINE": "local", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_an_engine_container_tests_are_skipped_counted_and_named(sample: Path) -> None:
    """The end of the output says how many were skipped, which, why, and how to get an engine."""
    done = run_pytest(sample)
    assert done.returncode == 0
    assert "1 passed, 1 skipped" in done.stdout
    assert "container tests skipped: 1" in done.stdout
    assert "test_sample.py::test_container" in done.stdout
    assert "docs.docker.com/engine/install" in done.stdout


def test_in_ci_a_missing_engine_is_a_failure(sample: Path) -> None:
    """A CI that asks for container tests never goes green without them."""
    done = run_pytest(sample, SPANBOOK_REQUIRE_DOCKER="1")
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert "SPANBOOK_REQUIRE_DOCKER=1, but no Docker engine answers" in done.stdout
