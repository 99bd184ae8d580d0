"""``spanbook init``: a new project, as far as it can be told without running it."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from spanbook.cli import main
from spanbook.finding import find_pipeline

WORKFLOWS = ".github/workflows"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A fresh project."""
    folder = tmp_path / "ice-cores"
    assert main(["init", str(folder)]) == 0
    return folder


def tool(name: str) -> str:
    """A command of this venv."""
    return str(Path(sys.executable).with_name(name))


def test_nothing_of_the_template_is_left(made: Path) -> None:
    """Every file bears the project's name and version, none the template's."""
    texts = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
    assert len(texts) > 15
    assert not [
        path
        for path, text in texts.items()
        if re.search(r"my.project|0\.0\.0\.dev|registry\.invalid", text)
    ]
    assert not [path for path in texts if "dot-" in str(path) or path.suffix == ".tmpl"]
    assert f"spanbook[local]=={version('spanbook')}" in (made / "requirements-dev.txt").read_text()


def test_its_pipeline_has_its_name(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline is found, and is called as the project, so that its runs are."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = find_pipeline(str(made / "pipeline"))
    assert found.pipeline.name == "ice_cores"
    sys.modules.pop("pipeline", None)


def test_its_code_is_clean(made: Path) -> None:
    """Its Python passes ruff, and its own tests pass without anything running."""
    done = subprocess.run([tool("ruff"), "check", "--isolated", "."], cwd=made, check=False)
    assert done.returncode == 0
    done = subprocess.run(
        [tool("ruff"), "format", "--isolated", "--check", "--line-length=100", "."],
        cwd=made,
        check=False,
    )
    assert done.returncode == 0


def test_its_workflows_are_safe(made: Path) -> None:
    """Zizmor finds nothing, the schemas hold, and every action is pinned by a full digest."""
    checks = [
        ("zizmor", "--offline", "--quiet", ".github"),
        ("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"),
        *(
            (
                "check-jsonschema",
                "--builtin-schema",
                "vendor.github-workflows",
                f"{WORKFLOWS}/{name}",
            )
            for name in ("ci.yml", "publish.yml")
        ),
    ]
    for name, *arguments in checks:
        done = subprocess.run(
            [tool(name), *arguments], cwd=made, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    for path in (made / WORKFLOWS).glob("*.yml"):
        for action in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action


def test_every_step_is_a_make_target(made: Path) -> None:
    """What a workflow runs is a target of the Makefile, so that it can be run by hand."""
    targets = set(re.findall(r"(?m)^([a-z-]+):", (made / "Makefile").read_text()))
    steps = []
    for path in (made / WORKFLOWS).glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            steps += [step["run"] for step in job["steps"] if "run" in step]
    assert len(steps) == 3
    for step in steps:
        assert re.match(r"make ([a-z-]+)", step), step
        assert step.split()[1] in targets


def test_its_settings_are_valid(made: Path) -> None:
    """JSON and YAML files parse, the compose file asks for the version's images, no secret is named."""
    json.loads((made / ".devcontainer/devcontainer.json").read_text())
    json.loads((made / ".vscode/tasks.json").read_text())
    compose = yaml.safe_load((made / "docker-compose.yml").read_text())
    assert set(compose["services"]) == {"outputs", "collector", "site-builder", "viewer", "runner"}
    assert compose["services"]["viewer"]["image"].endswith(f":-{version('spanbook')}}}")
    assert compose["services"]["viewer"]["command"] == ["--host", "0.0.0.0"]
    assert "secrets." not in "".join(p.read_text() for p in made.rglob("*.yml"))


def test_the_help_of_make_lists_every_target(made: Path) -> None:
    """`make help` tells each target that a person may ask for."""
    done = subprocess.run(["make", "help"], cwd=made, capture_output=True, text=True, check=True)
    told = set(re.findall(r"(?m)^\s+(?:\x1b\[36m)?([a-z-]+)", done.stdout))
    phony = re.search(r"\.PHONY: (.*)", (made / "Makefile").read_text())
    assert phony is not None
    assert set(phony[1].split()) == told


def test_a_fresh_clone_of_an_empty_repository_is_empty(tmp_path: Path) -> None:
    """A folder that holds .git alone may become a project, under the folder's own name."""
    folder = tmp_path / "tides"
    (folder / ".git").mkdir(parents=True)
    assert main(["init", str(folder)]) == 0
    assert (folder / "Makefile").exists()


def test_what_to_do_next_starts_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made in the folder where one is, nothing says to go there; elsewhere it does."""
    (tmp_path / "tides").mkdir()
    monkeypatch.chdir(tmp_path / "tides")
    assert main(["init", "."]) == 0
    assert "cd " not in capsys.readouterr().out
    assert main(["init", "../winds"]) == 0
    assert "cd ../winds\n" in capsys.readouterr().out


def test_a_summary_before_the_first_run_says_so(made: Path) -> None:
    """No run is no failure of make's."""
    done = subprocess.run(
        ["make", "summary"], cwd=made, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "make run makes one" in done.stdout


@pytest.mark.parametrize("folder", [None, Path(__file__).parents[3]], ids=["project", "spanbook"])
def test_an_example_copied_whole_leaves_outputs_mine(
    folder: Path | None, made: Path, tmp_path: Path
) -> None:
    """`cp .env.example .env` does not hand what make's containers write to another user."""
    source = folder or made
    for name in ("Makefile", ".env.example"):
        content = (source / name).read_text()
        (tmp_path / name.replace(".env.example", ".env")).write_text(content)
    (tmp_path / "ask.mk").write_text(
        "include Makefile\nask:\n\t@echo $$SPANBOOK_UID:$$SPANBOOK_GID\n"
    )
    done = subprocess.run(
        ["make", "-f", "ask.mk", "ask"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("SPANBOOK_")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"{os.getuid()}:{os.getgid()}"


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds anything is refused by what it holds, and left as it is."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    assert main(["init", str(folder)]) == 2
    assert "is not empty (thesis.txt)" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert main(["init", str(folder / "thesis.txt")]) == 2


@pytest.mark.parametrize(
    "name", ["1st", "a b", "x", "-flag-", "né", "class", "Pipeline", "a" * 70, "a$(id)", "end-"]
)
def test_a_name_that_cannot_be_one_is_told(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that cannot be a repository's and a pipeline's is refused before anything is made."""
    assert main(["init", str(tmp_path / name)]) == 2
    assert "cannot be a project's name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
