"""Context of a run: GitHub's variables, git facts, versions, allowed variables."""

import json
import subprocess
from pathlib import Path

import pytest
from spanbook.context import describe_run

RUN = "a" * 32


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit."""

    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init", "-b", "trunk")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "The first commit\n\nAnd its body.")
    git("remote", "add", "origin", "https://user:secret@github.com/acme/digits.git")
    return tmp_path


def test_git_facts(repository):
    """Revision, branch, title and repository are recorded; credentials in the remote are not."""
    found = describe_run(RUN, "p", repository, {})
    assert len(found["vcs.ref.head.revision"]) == 40
    assert found["vcs.ref.head.name"] == "trunk"
    assert found["spanbook.vcs.commit.title"] == "The first commit"
    assert found["vcs.repository.url.full"] == "https://github.com/acme/digits"
    assert (found["vcs.owner.name"], found["vcs.repository.name"]) == ("acme", "digits")
    assert found["spanbook.vcs.dirty"] is False
    (repository / "file").write_text("2")
    assert describe_run(RUN, "p", repository, {})["spanbook.vcs.dirty"] is True


def test_a_trial_merge_gives_no_title(repository):
    """A pull request's run is of its head, and is not called "Merge … into …" as what is checked out."""
    head = {"SPANBOOK_COMMIT_SHA": "c" * 40, "SPANBOOK_PR_TITLE": "Faster"}
    found = describe_run(RUN, "p", repository, head)
    assert found["vcs.ref.head.revision"] == "c" * 40
    assert "spanbook.vcs.commit.title" not in found
    assert found["vcs.change.title"] == "Faster"
    given = describe_run(RUN, "p", repository, {**head, "SPANBOOK_COMMIT_TITLE": "Be fast"})
    assert given["spanbook.vcs.commit.title"] == "Be fast"


def test_no_repository(tmp_path):
    """Without git there are no git facts, and no error."""
    found = describe_run(RUN, "p", tmp_path, {})
    assert not [key for key in found if key.startswith("vcs.")]
    assert found["spanbook.trigger"] == "local"


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/digits",
    "GITHUB_WORKFLOW": "daily",
    "GITHUB_RUN_ID": "123",
    "GITHUB_ACTOR": "octocat",
    "GITHUB_JOB": "pipeline",
    "GITHUB_BASE_REF": "main",
    "GITHUB_HEAD_REF": "feature",
    "GITHUB_SHA": "b" * 40,
    "GITHUB_REF": "refs/pull/7/merge",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_REF_NAME": "7/merge",
    "GITHUB_EVENT_NAME": "pull_request",
    "RUNNER_NAME": "Hosted 1",
}


def test_githubs_variables(tmp_path):
    """The ancestor's list, under the names of the semantic conventions."""
    event = tmp_path / "event.json"
    event.write_text(
        json.dumps({"pull_request": {"number": 7, "title": "Better", "head": {"sha": "c" * 40}}})
    )
    found = describe_run(RUN, "p", tmp_path, {**GITHUB, "GITHUB_EVENT_PATH": str(event)})
    assert found["vcs.repository.url.full"] == "https://github.com/acme/digits"
    assert found["vcs.ref.head.name"] == "feature"
    assert found["vcs.ref.base.name"] == "main"
    assert found["vcs.ref.head.revision"] == "c" * 40
    assert found["vcs.change.id"] == "7"
    assert found["vcs.change.title"] == "Better"
    assert found["spanbook.trigger"] == "pull_request"
    assert found["spanbook.actor"] == "octocat"
    assert found["cicd.worker.name"] == "Hosted 1"
    assert found["cicd.pipeline.run.url.full"] == "https://github.com/acme/digits/actions/runs/123"
    wanted = {"workflow", "run_id", "job", "ref", "ref_type", "ref_name", "event_name", "sha"}
    assert wanted <= {key.removeprefix("spanbook.ci.") for key in found}


@pytest.mark.parametrize(
    ("event", "trigger"),
    [("schedule", "schedule"), ("push", "push"), ("workflow_dispatch", "manual")],
)
def test_what_started_the_run(tmp_path, event, trigger):
    """GitHub's event is the trigger."""
    found = describe_run(RUN, "p", tmp_path, {**GITHUB, "GITHUB_EVENT_NAME": event})
    assert found["spanbook.trigger"] == trigger


def test_the_environment_is_recorded_by_allow_list(tmp_path):
    """Nothing but what is named; the list can be made longer."""
    env = {"TZ": "UTC", "HOME": "/root", "MY_FLAG": "1", "AWS_SECRET_ACCESS_KEY": "x"}
    found = describe_run(RUN, "p", tmp_path, env)
    assert {k for k in found if k.startswith("spanbook.env.")} == {"spanbook.env.TZ"}
    found = describe_run(RUN, "p", tmp_path, {**env, "SPANBOOK_RECORD_ENV": "MY_FLAG, OTHER"})
    assert found["spanbook.env.MY_FLAG"] == "1"


def test_versions(tmp_path):
    """Python's and the packages' versions are recorded."""
    found = describe_run(RUN, "p", tmp_path, {})
    assert found["spanbook.package.ray"].startswith("2.")
    assert found["process.runtime.version"].startswith("3.")


def test_what_a_container_is_given_comes_first(tmp_path: Path) -> None:
    """A container without a checkout says the commit, branch and pull request that it was handed."""
    given = {
        "SPANBOOK_COMMIT_SHA": "c" * 40,
        "SPANBOOK_COMMIT_TITLE": "Mend the seal\n\nand more",
        "SPANBOOK_BRANCH": "mend",
        "SPANBOOK_PR_NUMBER": "17",
        "SPANBOOK_PR_TITLE": "",
        "GITHUB_ACTIONS": "true",
        "GITHUB_SHA": "d" * 40,
    }
    found = describe_run("ab" * 16, "demo", tmp_path, given)
    assert found["vcs.ref.head.revision"] == "c" * 40
    assert found["spanbook.vcs.commit.title"] == "Mend the seal"
    assert found["vcs.ref.head.name"] == "mend"
    assert found["vcs.change.id"] == "17"
    assert "vcs.change.title" not in found
