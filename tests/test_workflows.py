"""What GitHub runs: the workflow files say nothing but make targets, and these are run here for real."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from spanbook_runfile import names, parse_run
from spanbook_runfile.samples import golden
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.build import Builder
from spanbook_site.settings import Settings
from support.github import REPOSITORY, FakeArtifact, FakeGitHub, zipped
from support.pages import Pages
from support.stack import ROOT, Stack

PLAIN = Settings(mlflow_ui=False)
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
FILES = [*WORKFLOWS, ACTION]
OURS = ("ci.yml", "publish.yml", "pipeline.yml", "action.yml")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
TARGET = re.compile(r"make (?:-C \S+ )?([a-z-]+)((?: [A-Z]+=\"\$[A-Z_]+\")*)")
WRITES = {  # every permission to write, by job
    ("ci.yml", "attest"): {"id-token", "attestations"},
    ("publish.yml", "deploy"): {"pages", "id-token"},
    ("publish.yml", "keep"): {"contents"},
    ("pipeline.yml", "deploy"): {"pages", "id-token"},
}


def loaded(path: Path) -> dict[str, Any]:
    """A workflow or action; YAML takes the key ``on`` for true."""
    whole = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in whole.items()}


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow; an action's steps count as one."""
    whole = loaded(path)
    return whole["jobs"] if "jobs" in whole else {"action": whole["runs"]}


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step with its job's name."""
    for name, job in jobs(path).items():
        for step in job.get("steps", ()):
            yield name, step


@pytest.mark.parametrize(
    "path", [ROOT / ".github/workflows" / n for n in OURS[:3]] + [ACTION], ids=lambda p: p.name
)
def test_every_step_is_a_make_target(path: Path) -> None:
    """A ``run:`` is one make target, which the Makefile has; inputs come by environment."""
    makefile = (ROOT / "Makefile").read_text()
    found = [step["run"] for _, step in steps(path) if "run" in step]
    for line in found:
        match = TARGET.fullmatch(line)
        assert match, line
        assert f"\n{match[1]}:" in makefile


def test_ci_is_what_make_ci_is() -> None:
    """The job runs the parts of ``make ci`` as steps, in their order, and all of them whatever fails."""
    found = [s for _, s in steps(ROOT / ".github/workflows/ci.yml") if "run" in s][:3]
    parts = re.search(r"(?m)^ci: (.*?) ##", (ROOT / "Makefile").read_text())
    assert parts is not None
    assert [step["run"] for step in found] == [f"make {part}" for part in parts[1].split()]
    assert all("!cancelled()" in step["if"] for step in found[1:])


def test_one_artifact_is_deployed_also_by_a_second_attempt() -> None:
    """Deploying refuses two artifacts of one name: each attempt's has its own, which the job that made it tells."""
    template = ROOT / "services/runner/src/spanbook/template/dot-github/workflows/publish.yml"
    for path in (*(ROOT / ".github/workflows" / n for n in OURS[1:3]), template):
        (up,) = [s for _, s in steps(path) if "upload-pages-artifact@" in s.get("uses", "")]
        (deploy,) = [s for _, s in steps(path) if "deploy-pages@" in s.get("uses", "")]
        assert up["with"]["name"] == jobs(path)["build"]["outputs"]["pages"]
        assert "run_attempt" in up["with"]["name"]
        assert deploy["with"]["artifact_name"] == "${{ needs.build.outputs.pages }}"


def test_the_ten_lines_of_the_docs_call_the_workflow(tmp_path: Path) -> None:
    """They are a workflow by its schema, give the inputs that are asked for, and grant what its jobs need."""
    block = re.search(r"```yaml\n(name: .*?)```", (ROOT / "docs/github.md").read_text(), re.DOTALL)
    assert block is not None
    assert len(block[1].splitlines()) <= 10
    path = tmp_path / "tracker.yml"
    path.write_text(block[1])
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    subprocess.run([*check, "vendor.github-workflows", str(path)], check=True)
    (caller,) = jobs(path).values()
    called = ROOT / "/".join(caller["uses"].partition("@")[0].split("/")[2:])
    inputs = loaded(called)["on"]["workflow_call"]["inputs"]
    assert caller["with"].keys() <= inputs.keys()
    assert {name for name, entry in inputs.items() if entry.get("required")} <= caller[
        "with"
    ].keys()
    # a called job that asks for more than its caller has is an error before anything starts
    rank = ["none", "read", "write"]
    for name, job in jobs(called).items():
        for scope, asked in job["permissions"].items():
            granted = caller["permissions"].get(scope, "none")
            assert rank.index(asked) <= rank.index(granted), f"{name}: {scope}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_actions_are_pinned_and_keep_no_credentials(path: Path) -> None:
    """Every action by commit, with its version in a comment; no checkout leaves the token in .git."""
    for name, step in steps(path):
        uses = step.get("uses", "")
        if uses and not uses.startswith("./"):
            assert PINNED.fullmatch(uses), f"{name}: {uses}"
            assert re.search(re.escape(uses) + r" # v\d", path.read_text())
        if uses.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", OURS[:3])
def test_only_these_jobs_may_write(name: str) -> None:
    """No permissions on top, and of each job only what it must: what runs a pipeline writes nothing."""
    path = ROOT / ".github/workflows" / name
    assert loaded(path)["permissions"] == {}
    for job, content in jobs(path).items():
        allowed = {key for key, value in content["permissions"].items() if value == "write"}
        assert allowed == WRITES.get((name, job), set()), job


def test_pull_requests_run_nothing_with_rights() -> None:
    """No trigger gives a fork's code our rights; publishing checks out the default branch alone."""
    for path in WORKFLOWS:
        assert "pull_request_target" not in loaded(path)["on"]
    publish = ROOT / ".github/workflows/publish.yml"
    checkouts = [s for _, s in steps(publish) if s.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 2
    for step in checkouts:
        assert step["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    ci = jobs(ROOT / ".github/workflows/ci.yml")
    assert "default_branch" in ci["attest"]["if"]


def test_the_schedules_are_at_odd_minutes() -> None:
    """The hour's start is when GitHub drops schedules."""
    for path in WORKFLOWS:
        on = loaded(path)["on"]
        for entry in on.get("schedule", ()) if isinstance(on, dict) else ():
            assert int(entry["cron"].split()[0]) % 5


# -- the targets, for real ------------------------------------------------------------------------


def make(
    *arguments: object, seconds: float = 280, **env: object
) -> subprocess.CompletedProcess[str]:
    """``make …`` as a workflow's step runs it."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SPANBOOK_", "OTEL_", "GITHUB_", "MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", *map(str, arguments)],
        cwd=ROOT,
        env={**clean, **{key: str(value) for key, value in env.items()}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.mark.parametrize("head", [True, False], ids=["the head", "a trial merge"])
def test_a_run_is_called_by_its_own_commit(tmp_path: Path, *, head: bool) -> None:
    """What a container is told of the commit is of the one that the run is of, or nothing."""
    theirs = project(tmp_path / "theirs", "title: Mine\n")
    git = ["git", "-C", str(theirs), "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Merge 1 into 2"], check=True)
    (tmp_path / "ask.mk").write_text(
        f"include {ROOT}/Makefile\nask:\n\t@echo [$$SPANBOOK_COMMIT_TITLE]\n"
    )
    of = {} if head else {"SPANBOOK_COMMIT_SHA": "c" * 40}
    done = make("-f", tmp_path / "ask.mk", "ask", SPANBOOK_PROJECT=theirs, **of)
    assert done.stdout.strip() == ("[Merge 1 into 2]" if head else "[]"), done.stderr


def run_of(day: int) -> SampleRun:
    """The main run of a day."""
    return golden.ok(f"day-{day}", start=golden.START + day * golden.DAY)


def artifact(content: bytes, number: int, **more: Any) -> FakeArtifact:
    """An honest main run's artifact."""
    says = parse_run(content).context
    told = {
        "sha": says(names.REF_REVISION),
        "run": int(says(names.PIPELINE_RUN_URL).split("/")[-1] or 0),
    }
    return FakeArtifact(
        number, f"spanbook-run-{number}", zipped(run__json=content), **{**told, **more}
    )


@pytest.fixture
def github(tmp_path: Path) -> Iterator[FakeGitHub]:
    """A GitHub whose Pages serve what was published last."""
    with FakeGitHub() as running, Pages(tmp_path / "nothing") as pages:
        running.pages = pages.url
        running.served = pages  # type: ignore[attr-defined]
        yield running


def project(folder: Path, settings: str) -> Path:
    """A repository of somebody else's, whose only remote is a bare one."""
    folder.mkdir()
    (folder / "spanbook.yaml").write_text(settings)
    remote = folder.with_suffix(".git")
    for command in (
        ["git", "init", "--quiet", "--bare", str(remote)],
        ["git", "init", "--quiet", "-b", "main", str(folder)],
        ["git", "-C", str(folder), "remote", "add", "origin", str(remote)],
    ):
        subprocess.run(command, check=True)
    return folder


def publish(github: FakeGitHub, machine: Path, engine: str = "local", **env: object) -> Path:
    """``make publish-site`` on a fresh machine; the site is served then."""
    output = machine.with_suffix(".github-output")
    done = make(
        "publish-site",
        f"REPOSITORY={REPOSITORY}",
        SPANBOOK_ENGINE=engine,
        SPANBOOK_OUTPUTS_DIR=machine,
        GITHUB_API_URL=github.api,
        GITHUB_TOKEN="secret",
        GITHUB_OUTPUT=output,
        **env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "secret" not in done.stdout + done.stderr
    github.served.site = machine / "site"  # type: ignore[attr-defined]
    return machine / "site"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_publish_site(github: FakeGitHub, tmp_path: Path, engine: str) -> None:
    """Artifacts in, site out; a hostile one is left out and told; what is gone from GitHub stays."""
    first, later, of_fork = run_of(1), run_of(100), run_of(2)
    (tmp_path / "before/runs").mkdir(parents=True)
    (tmp_path / "before/runs" / f"{first.id}.json").write_bytes(first.sealed())
    before = Builder(tmp_path / "before/runs", tmp_path / "before/site", settings=PLAIN, jobs=1)
    before.build()
    github.served.site = tmp_path / "before/site"  # type: ignore[attr-defined]
    github.artifacts = [
        FakeArtifact(5, "spanbook-run-5", zipped(evil__json=b"../../etc/passwd")),
        artifact(of_fork.sealed(), 4, fork=True),
        artifact(later.sealed(), 3),
    ]
    site = publish(github, tmp_path / "day-100", engine)
    home = (site / "index.html").read_text()
    assert first.id in home
    assert later.id in home
    assert of_fork.id not in home, "forks are not switched on"
    assert (site / "runs" / first.id / f"{first.id}.json").read_bytes() == first.sealed()
    assert (tmp_path / "day-100.github-output").read_text() == "history=pages\n"
    assert github.leaked == []
    strange = [p for p in site.rglob("*") if p.is_symlink() or p.suffix in (".sh", ".py", ".php")]
    assert strange == []


@pytest.mark.slow
def test_publish_site_with_a_data_branch(github: FakeGitHub, tmp_path: Path) -> None:
    """history: branch: every publish pushes one commit of what is new, and starts from what is there."""
    theirs = project(tmp_path / "theirs", "history: branch\nmlflow_ui: false\n")
    env = {"SPANBOOK_PROJECT": theirs}
    runs = [run_of(day) for day in (1, 2)]
    for number, run in enumerate(runs, start=1):
        github.artifacts = [artifact(run.sealed(), number)]  # the other is gone
        machine = tmp_path / f"publish-{number}"
        site = publish(github, machine, **env)
        assert (tmp_path / f"publish-{number}.github-output").read_text() == "history=branch\n"
        done = make("keep-history", SPANBOOK_OUTPUTS_DIR=machine, **env)
        assert done.returncode == 0, done.stderr
    home = (site / "index.html").read_text()
    assert all(run.id in home for run in runs)
    git = ["git", "-C", str(theirs.with_suffix(".git"))]
    log = subprocess.run(
        [*git, "log", "--name-status", "--format=", "spanbook-data"],
        capture_output=True,
        text=True,
        check=True,
    )
    changed = [line.split("\t") for line in log.stdout.splitlines() if "runs/" in line]
    assert sorted(changed) == sorted(["A", f"runs/{r.id[:2]}/{r.id}.json.gz"] for r in runs)
    done = make("keep-history", SPANBOOK_OUTPUTS_DIR=machine, **env)
    assert "every run already" in done.stdout


FAILING = """
from spanbook import log, pipeline, task


@task
def measure() -> float:
    log.metric("accuracy", 0.5)
    return 0.5


@task
def judge(accuracy: float) -> None:
    print("this is the last line")
    raise ValueError("not good enough")


@pipeline
def mine():
    judge(measure())
"""


def main_run() -> bytes:
    """A main run of the same pipeline, which was better."""
    run = SampleRun("before", pipeline="mine", start=golden.START)
    task = run.task("measure")
    attempt = task.attempt(0.0)
    attempt.metric(0.1, "accuracy", 0.75)
    attempt.end(1.0)
    task.end()
    run.finish()
    return run.sealed()


@pytest.mark.slow
def test_a_pipeline_of_another_repository(github: FakeGitHub, tmp_path: Path) -> None:
    """The action's steps: the pipeline fails, and run file, site and summary are there all the same."""
    theirs = project(tmp_path / "theirs", "title: Mine\nmlflow_ui: false\n")
    (theirs / "pipelines/mine").mkdir(parents=True)
    (theirs / "pipelines/mine/pipeline.py").write_text(FAILING)
    stack = Stack(theirs / "pipeline-outputs")
    done = make(
        "test-and-run-pipeline",
        "PIPELINE=pipelines/mine",
        SPANBOOK_PROJECT=theirs,
        SPANBOOK_COMMIT_TITLE="Be good",
        **stack.ports,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    (file,) = stack.run_files()
    run = parse_run(file.read_bytes())
    assert {task.name: task.state for task in run.tasks} == {
        "measure": "success",
        "judge": "failure",
    }
    assert "Be good" in (stack.outputs / "site/index.html").read_text()
    github.artifacts = [artifact(main_run(), 1)]
    summary = tmp_path / "summary.md"
    done = make(
        "summary",
        f"REPOSITORY={REPOSITORY}",
        SPANBOOK_OUTPUTS_DIR=stack.outputs,
        GITHUB_STEP_SUMMARY=summary,
        GITHUB_API_URL=github.api,
        GITHUB_TOKEN="secret",
    )
    assert done.returncode == 0, done.stderr
    told = summary.read_text()
    assert "❌" in told
    assert "this is the last line" in told
    assert "```mermaid\ngantt" in told
    assert re.search(r"\| measure \| accuracy \| 0.75 \| 0.5 \|", told)


@pytest.mark.slow
@pytest.mark.docker
def test_run_pipeline_in_the_compose_stack(tmp_path: Path) -> None:
    """``make test-and-run-pipeline`` with Docker leaves run file and site, and no container."""
    stack = Stack(tmp_path / "outputs")
    stack.outputs.mkdir()
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    name = f"spanbook-test-{os.getpid()}"
    done = make(
        "test-and-run-pipeline",
        "PIPELINE=pipelines/hello",
        seconds=580,
        COMPOSE_PROJECT_NAME=name,
        SPANBOOK_OUTPUTS_DIR=stack.outputs,
        **stack.ports,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = stack.run_files()
    assert parse_run(file.read_bytes()).state == "success"
    assert file.stem in (stack.outputs / "site/index.html").read_text()
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""


def test_a_job_without_a_run_has_a_summary() -> None:
    """Where no pipeline ran, the summary says so and does not fail the job."""
    done = make("summary", SPANBOOK_OUTPUTS_DIR="/nowhere")
    assert done.returncode == 0
    assert "has no run file" in done.stdout


def test_a_pipeline_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """Where nothing could run, no file is waited for."""
    done = make(
        "test-and-run-pipeline",
        "PIPELINE=pipelines/nope",
        SPANBOOK_ENGINE="local",
        SPANBOOK_OUTPUTS_DIR=tmp_path,
    )
    assert done.returncode == 2
    assert "There is no pipelines/nope" in done.stderr
    assert "left no run file" not in done.stderr


@pytest.mark.parametrize("target", ["up", "down", "build-docker-images"])
def test_what_needs_docker_says_so(target: str) -> None:
    """Without an engine these do nothing but say what they need."""
    done = make(target, SPANBOOK_ENGINE="local")
    assert done.returncode == 2
    assert f"{target} needs a Docker engine" in done.stderr
    assert done.stdout == ""
