"""Where and from what a run is made: CI and git facts, versions, allowed environment variables."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from spanbook_runfile import names

ALLOW_VARIABLE = "SPANBOOK_RECORD_ENV"  # names of further variables to record, comma-separated
_ALLOWED = ("CI", "TZ", "LANG", "PYTHONHASHSEED", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
_PACKAGES = ("spanbook", "ray", "numpy", "pandas", "scikit-learn", "torch", "onnx", "matplotlib")
_CI_FACTS = {  # our name behind spanbook.ci. for GitHub's variables
    "workflow": "GITHUB_WORKFLOW",
    "job": "GITHUB_JOB",
    "run_id": "GITHUB_RUN_ID",
    "run_number": "GITHUB_RUN_NUMBER",
    "run_attempt": "GITHUB_RUN_ATTEMPT",
    "event_name": "GITHUB_EVENT_NAME",
    "repository": "GITHUB_REPOSITORY",
    "ref": "GITHUB_REF",
    "ref_name": "GITHUB_REF_NAME",
    "ref_type": "GITHUB_REF_TYPE",
    "head_ref": "GITHUB_HEAD_REF",
    "base_ref": "GITHUB_BASE_REF",
    "sha": "GITHUB_SHA",
    "actor": "GITHUB_ACTOR",
    "runner_name": "RUNNER_NAME",
    "runner_os": "RUNNER_OS",
}
_GIVEN = {  # what a container cannot find out itself; these come before all else
    "SPANBOOK_COMMIT_SHA": names.REF_REVISION,
    "SPANBOOK_COMMIT_TITLE": names.COMMIT_TITLE,
    "SPANBOOK_BRANCH": names.REF_NAME,
    "SPANBOOK_PR_NUMBER": names.CHANGE_ID,
    "SPANBOOK_PR_TITLE": names.CHANGE_TITLE,
}
_TRIGGERS = {
    "schedule": "schedule",
    "pull_request": "pull_request",
    "pull_request_target": "pull_request",
    "push": "push",
    "workflow_dispatch": "manual",
    "repository_dispatch": "manual",
}


def describe_run(
    run_id: str, pipeline: str, folder: Path, env: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The resource attributes of a run of a pipeline that lies in ``folder``."""
    env = os.environ if env is None else env
    found: dict[str, object] = {
        names.SERVICE_NAME: "spanbook",
        names.SERVICE_VERSION: _version("spanbook"),
        names.SERVICE_INSTANCE_ID: run_id,
        names.PIPELINE_NAME: pipeline,
        names.PIPELINE_RUN_ID: run_id,
        names.HOST_NAME: platform.node(),
        names.PYTHON_VERSION: platform.python_version(),
        names.PROCESS_PID: os.getpid(),
        names.TRIGGER: "local",
    }
    git = _git(folder)
    found |= git
    if env.get("GITHUB_ACTIONS") == "true":
        found |= _github(env)
    for variable, name in _GIVEN.items():
        if value := env.get(variable, "").partition("\n")[0]:
            found[name] = value
    title, revision = names.COMMIT_TITLE, names.REF_REVISION
    if found.get(revision) != git.get(revision) and found.get(title) == git.get(title):
        found.pop(
            title, None
        )  # of another commit: what is checked out is a pull request's trial merge
    found |= {
        names.PACKAGE_PREFIX + name: version for name in _PACKAGES if (version := _version(name))
    }
    allowed = {*_ALLOWED, *filter(None, env.get(ALLOW_VARIABLE, "").replace(" ", "").split(","))}
    found |= {names.ENV_PREFIX + name: env[name] for name in sorted(allowed) if name in env}
    return {key: value for key, value in found.items() if value not in (None, "")}


def _github(env: Mapping[str, str]) -> dict[str, object]:
    """GitHub's variables under the names of the semantic conventions."""
    server = env.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    repository = env.get("GITHUB_REPOSITORY", "")
    owner, _, name = repository.partition("/")
    event = env.get("GITHUB_EVENT_NAME", "")
    found: dict[str, object] = {
        names.CI_PREFIX + key: env[variable]
        for key, variable in _CI_FACTS.items()
        if env.get(variable)
    }
    found |= {
        names.VCS_PROVIDER: "github",
        names.OWNER_NAME: owner,
        names.REPOSITORY_NAME: name,
        names.REPOSITORY_URL: f"{server}/{repository}" if repository else "",
        names.REF_REVISION: env.get("GITHUB_SHA", ""),
        names.REF_NAME: env.get("GITHUB_HEAD_REF") or env.get("GITHUB_REF_NAME", ""),
        names.REF_TYPE: env.get("GITHUB_REF_TYPE", ""),
        names.REF_BASE_NAME: env.get("GITHUB_BASE_REF", ""),
        names.WORKER_NAME: env.get("RUNNER_NAME", ""),
        names.ACTOR: env.get("GITHUB_ACTOR", ""),
        names.TRIGGER: _TRIGGERS.get(event, event or "manual"),
    }
    if repository and env.get("GITHUB_RUN_ID"):
        found[names.PIPELINE_RUN_URL] = f"{server}/{repository}/actions/runs/{env['GITHUB_RUN_ID']}"
    found |= _github_event(env.get("GITHUB_EVENT_PATH", ""))
    return found


def _github_event(path: str) -> dict[str, object]:
    """What only the event's payload tells: the pull request, the commit's message."""
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(event, dict):
        return {}
    found: dict[str, object] = {}
    change = event.get("pull_request")
    if isinstance(change, dict):
        found[names.CHANGE_ID] = str(change.get("number", ""))
        found[names.CHANGE_TITLE] = str(change.get("title", ""))
        head = change.get("head")
        if isinstance(head, dict) and head.get("sha"):
            found[names.REF_REVISION] = str(head["sha"])  # GITHUB_SHA is of the trial merge
    commit = event.get("head_commit")
    if isinstance(commit, dict):
        found[names.COMMIT_TITLE] = str(commit.get("message", "")).split("\n", 1)[0]
    return found


def _git(folder: Path) -> dict[str, object]:
    """Facts of the git repository that ``folder`` lies in; nothing where there is none."""
    try:
        revision = _ask_git(folder, "rev-parse", "HEAD")
        if not revision:
            return {}
        branch = _ask_git(folder, "rev-parse", "--abbrev-ref", "HEAD")
        remote = repository_url(_ask_git(folder, "config", "--get", "remote.origin.url"))
        owner, _, name = urlsplit(remote).path.strip("/").rpartition("/")
        return {
            names.REF_REVISION: revision,
            names.REF_NAME: "" if branch == "HEAD" else branch,
            names.REF_TYPE: "" if branch == "HEAD" else "branch",
            names.DIRTY: bool(_ask_git(folder, "status", "--porcelain", "--untracked-files=no")),
            names.COMMIT_TITLE: _ask_git(folder, "log", "-1", "--format=%s"),
            names.REPOSITORY_URL: remote,
            names.REPOSITORY_NAME: name,
            names.OWNER_NAME: owner,
            names.VCS_PROVIDER: "github" if urlsplit(remote).hostname == "github.com" else "",
        }
    except (OSError, subprocess.TimeoutExpired):
        return {}


def _ask_git(folder: Path, *words: str) -> str:
    asked = subprocess.run(
        ["git", "-c", "safe.directory=*", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


def repository_url(remote: str) -> str:
    """A remote as a web address: https, without user, password and ``.git``; local paths are left out."""
    if remote.startswith("git@") and ":" in remote:
        host, _, path = remote.removeprefix("git@").partition(":")
        remote = f"https://{host}/{path}"
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port and parts.scheme.startswith("http") else ""
    scheme = parts.scheme if parts.scheme.startswith("http") else "https"
    return urlunsplit(
        (scheme, parts.hostname + port, parts.path.removesuffix("/").removesuffix(".git"), "", "")
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


__all__ = ["ALLOW_VARIABLE", "describe_run"]
