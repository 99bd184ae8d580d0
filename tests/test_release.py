"""What a release and a developer's machine rely on."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.stack import ROOT

TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two packages of version 1.2.3 and a changelog."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/check-version", tmp_path / "scripts")
    for package in ("one", "two"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.3\n")
    return tmp_path


def check(tree: Path, version: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the check, on GitHub where its variables are given."""
    command = [str(tree / "scripts/check-version"), version, "one", "two"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    return subprocess.run(
        command, env={**clean, **env}, capture_output=True, text=True, check=False
    )


def test_a_tag_that_agrees_may_be_released(tree: Path) -> None:
    """Tag, packages and changelog of one version pass."""
    assert check(tree, "1.2.3").returncode == 0


def test_a_tag_that_does_not_agree_is_refused(tree: Path) -> None:
    """A package, or a changelog, of another version is named."""
    assert "one/pyproject.toml has" in check(tree, "1.2.4").stderr
    assert check(tree, "1x2x3").returncode == 1
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    done = check(tree, "1.2.3")
    assert done.returncode == 1
    assert "CHANGELOG.md has no heading for 1.2.3" in done.stderr


def test_packages_of_two_releases_are_not_mixed(tree: Path) -> None:
    """What a package asks of another is of the same version; what is like it in name only is not checked."""
    file = tree / "one/pyproject.toml"
    whole = (
        'name = "spanbook-one"\nversion = "1.2.3"\ndependencies = ["spanbook-two{}", "requests"]\n'
    )
    file.write_text(whole.format("==1.2.3"))
    assert check(tree, "1.2.3").returncode == 0
    for asked in ("", "==1.2.2", ">=1.2.3"):
        file.write_text(whole.format(asked))
        assert (
            f"asks for spanbook-two{asked}, not for spanbook-two==1.2.3"
            in check(tree, "1.2.3").stderr
        )


def test_new_projects_use_the_images_that_are_released(tree: Path) -> None:
    """A release of another owner is refused until the images that ``spanbook init`` names are theirs."""
    command = tree / "services/runner/src/spanbook/init_command.py"
    command.parent.mkdir(parents=True)
    command.write_text('IMAGES = "ghcr.io/octo/"\n')
    assert check(tree, "1.2.3", GITHUB_REPOSITORY_OWNER="Octo").returncode == 0
    assert (
        "releases to ghcr.io/hubot/" in check(tree, "1.2.3", GITHUB_REPOSITORY_OWNER="hubot").stderr
    )


DOCKER = """#!/bin/sh
echo "$@" >>"$DOCKER_LOG"
while [ $# -gt 0 ]; do
    [ "$1" = --metadata-file ] && echo '{"containerimage.digest": "sha256:'$ARCH'"}' >"$2"
    [ "$1" = inspect ] && echo '"sha256:both"'
    shift
done
exit 0
"""


def test_an_image_is_of_both_architectures(tmp_path: Path) -> None:
    """Each is pushed by digest alone; the tags are of the image that joins the digests, which is told."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DOCKER_LOG": str(tmp_path / "log"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REPOSITORY": "Octo/spanbook",
    }

    def push(*arguments: str, arch: str = "") -> None:
        command = [ROOT / "scripts/push-image", *arguments, tmp_path / "digests"]
        subprocess.run(command, env={**env, "ARCH": arch}, check=True)

    for arch in ("amd64", "arm64"):
        push("build", "ghcr.io/Octo/spanbook-viewer", "viewer", "1.2.3", arch=arch)
    push("join", "ghcr.io/Octo/spanbook-viewer", "1.2.3")
    builds, joins = (tmp_path / "log").read_text().splitlines()[:2], (tmp_path / "log").read_text()
    assert all("push-by-digest=true" in line and "--tag" not in line for line in builds)
    image = "ghcr.io/octo/spanbook-viewer"
    tags = f"--tag {image}:1.2.3 --tag {image}:latest"
    assert f"imagetools create {tags} {image}@sha256:amd64 {image}@sha256:arm64" in joins
    assert (tmp_path / "output").read_text() == f"image={image}\ndigest=sha256:both\n"


def test_packages_are_of_one_version() -> None:
    """All packages are released together."""
    files = [ROOT / "libs/runfile/pyproject.toml", *ROOT.glob("services/*/pyproject.toml")]
    versions = {re.search(r'(?m)^version = "(.*)"', path.read_text())[1] for path in files}  # type: ignore[index]
    assert len(versions) == 1
    assert len(files) == 5


def test_a_release_is_built_without_the_right_to_publish() -> None:
    """Only the job that publishes packages may sign in to PyPI, and it checks out and builds nothing."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["packages"]["permissions"] == {"contents": "read"}
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert [step["uses"].partition("@")[0] for step in jobs["pypi"]["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert len(steps) == 4
    assert all(step.split()[0] == "make" and step.split()[1] in TARGETS for step in steps)
    services = {path.parent.name for path in ROOT.glob("services/*/Dockerfile")}
    assert set(jobs["images"]["strategy"]["matrix"]["service"]) == services
    assert set(jobs["builds"]["strategy"]["matrix"]["service"]) == services


def test_editor_tasks_are_make_targets() -> None:
    """VS Code's tasks run targets of the Makefile; the default one starts pipeline, tests and types."""
    tasks = json.loads((ROOT / ".vscode/tasks.json").read_text())["tasks"]
    commands = [task["command"].split() for task in tasks if "command" in task]
    assert all(words[0] == "make" and set(words[1:]) <= TARGETS for words in commands)
    (default,) = [t for t in tasks if t.get("group") == {"kind": "build", "isDefault": True}]
    assert default["dependsOn"] == ["watch: pipeline", "watch: tests", "watch: types"]


def test_the_dev_container_needs_no_secret() -> None:
    """It comes from public registries, mounts nothing of the user's, and makes what `make` makes."""
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    container = json.loads(re.sub(r"(?m)^\s*//.*$", "", text))
    assert container["image"].startswith("mcr.microsoft.com/devcontainers/")
    assert not {"mounts", "secrets", "remoteEnv", "containerEnv"} & container.keys()
    words = container["postCreateCommand"].split()
    assert words[0] == "make"
    assert set(words[1:]) <= TARGETS


def test_pre_commit_runs_tools_of_the_venv() -> None:
    """Hooks run the project's own locked tools, of no other repository."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        command = hook["entry"].split()
        assert command[0].startswith(".venv/bin/") or command[1] in TARGETS


def test_dependabot_watches_every_lock() -> None:
    """Folders that Dependabot is told of are there, and hold what it looks for."""
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    wanted = {"npm": "package-lock.json", "docker": "Dockerfile", "pip": "dev.txt"}
    for update in updates:
        for folder in update.get("directories", [update.get("directory")]):
            file = wanted.get(update["package-ecosystem"], "")
            assert (ROOT / folder.lstrip("/") / file).exists(), (folder, file)
