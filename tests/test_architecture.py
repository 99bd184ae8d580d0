"""The walls of docs/architecture.md."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    "spanbook": ROOT / "services/runner/src/spanbook",
    "spanbook_collector": ROOT / "services/collector/src/spanbook_collector",
    "spanbook_site": ROOT / "services/site-builder/src/spanbook_site",
    "spanbook_viewer": ROOT / "services/viewer/src/spanbook_viewer",
    "spanbook_runfile": ROOT / "libs/runfile/src/spanbook_runfile",
}
MEETING_POINT = "spanbook_runfile"


def imported_modules(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path.name)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository as git knows them, so that nobody's venv is looked at."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


@pytest.mark.parametrize("module", MODULES)
def test_services_meet_only_in_the_run_file_library(module: str) -> None:
    """No service imports another, and the library imports no service."""
    allowed = {module, MEETING_POINT}
    for path in MODULES[module].rglob("*.py"):
        foreign = set(imported_modules(path)) & MODULES.keys() - allowed
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize("module", MODULES)
def test_packages_declare_no_other_service(module: str) -> None:
    """A package's dependencies name no service: each one installs alone."""
    project = MODULES[module].parents[1] / "pyproject.toml"
    declared = set(re.findall(r'^\s+"(spanbook[\w-]*)', project.read_text(), flags=re.MULTILINE))
    assert declared <= {"spanbook-runfile"}


def test_python_locks_are_hashed_and_name_no_host() -> None:
    """Every pinned package has hashes, and no download host or index is written down."""
    locks = tracked("**/requirements.txt", "requirements/dev.txt", "requirements/mlflow.txt")
    assert locks
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text, f"{lock.name} names a host"
        assert "index-url" not in text
        pins = re.findall(r"^[\w.\[\]-]+==.*(?:\n .*)*", text, flags=re.MULTILINE)
        assert pins
        for pin in pins:
            assert "--hash=sha256:" in pin, f"{lock.relative_to(ROOT)}: {pin.splitlines()[0]}"


def test_the_compared_mlflow_is_the_pinned_one() -> None:
    """`make test-mlflow` compares with a server of the version whose UI the site carries."""
    wheel = (ROOT / "services/site-builder/src/spanbook_site/mlflow/wheel.py").read_text()
    (version,) = re.findall(r'^VERSION: Final = "(.+)"', wheel, flags=re.MULTILINE)
    locked = (ROOT / "requirements/mlflow.txt").read_text()
    assert re.findall(r"^mlflow==(\S+)", locked, flags=re.MULTILINE) == [version]


def test_npm_locks_name_no_host() -> None:
    """An npm lock has integrity hashes and no resolved URLs, so any mirror serves."""
    for lock in tracked("**/package-lock.json"):
        for name, package in json.loads(lock.read_text())["packages"].items():
            assert "resolved" not in package, f"{lock.relative_to(ROOT)}: {name}"
            if name and not package.get("link"):
                assert package.get("integrity"), f"{lock.relative_to(ROOT)}: {name}"


def test_images_are_built_from_the_chosen_base() -> None:
    """Each service has a Dockerfile, each stage starts from the one base, and none ends as root."""
    dockerfiles = tracked("services/*/Dockerfile")
    assert len(dockerfiles) == 4
    for path in dockerfiles:
        text = path.read_text()
        stages = re.findall(r"(?im)^FROM (\S+)(?: AS (\S+))?", text)
        known = {"python:3.13-slim-trixie", *(name for _, name in stages)}
        assert {base for base, _ in stages} <= known, path.relative_to(ROOT)
        users = re.findall(r"(?m)^USER (\S+)", text)
        assert users, f"{path.relative_to(ROOT)} names no user"
        assert users[-1].partition(":")[0] not in ("0", "root"), path.relative_to(ROOT)
