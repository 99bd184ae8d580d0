"""Finding and importing what the user named; each mistake is told with what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

SPANBOOK = str(Path(sys.executable).with_name("spanbook"))
GOOD = """
from spanbook import pipeline, task

@task
def hello(name: str): ...

@pipeline
def greeting(name: str = "you"):
    '''Says hello.'''
    hello(name)
"""


@pytest.fixture
def spanbook(tmp_path):
    """Runs ``spanbook run …`` in a folder of its own."""

    def run(*words, **files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_py", ".py")
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        return subprocess.run(
            [SPANBOOK, "run", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(
    "target", ["flow", "flow/pipeline.py", "flow.pipeline", "flow.pipeline:greeting"]
)
def test_ways_to_name_a_pipeline(spanbook, target):
    """A folder, a file, a module, and module:name."""
    done = spanbook(target, "--dry-run", flow__pipeline_py=GOOD, flow____init___py="")
    assert done.returncode == 0, done.stderr
    assert "greeting: 1 tasks" in done.stdout
    assert "flowchart" in done.stdout


def test_help_shows_the_pipelines_parameters(spanbook):
    """``spanbook run PIPELINE --help`` knows the pipeline."""
    done = spanbook("flow", "--help", flow__pipeline_py=GOOD)
    assert done.returncode == 0
    assert "Says hello." in done.stdout
    assert "name: str = 'you'" in done.stdout


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_package\n", "pip install no_such_package"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("def (:\n", "SyntaxError"),
        ("x = 1\n", "decorate the function"),
        (GOOD.replace("hello(name)", "hello(nam=name)"), "Did you mean 'name'?"),
        (GOOD.replace("hello(name)", "pass"), "calls no task"),
        (GOOD.replace("hello(name)", "name.upper(1)"), "upper"),
        (GOOD + GOOD.replace("greeting", "other"), "has 2 pipelines"),
        ("import sys; sys.exit(0)\n", "SystemExit"),
    ],
)
def test_what_is_wrong_with_a_pipeline_is_told(spanbook, code, said):
    """Exit code 2, the user's own line, and none of ours."""
    done = spanbook("flow", flow__pipeline_py=code)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "spanbook/finding.py" not in done.stderr
    assert "importlib" not in done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere", "nowhere"),
        ("no/such/folder", "There is no no/such/folder"),
        ("empty", "has no pipeline.py"),
        ("bad-name.py", "is no Python name"),
        ("json.py", "is the name of another module"),
        ("flow.pipeline:greting", "Did you mean 'greeting'?"),
    ],
)
def test_what_is_not_there_is_told(spanbook, target, said):
    """Exit code 2, and where was looked."""
    files = {"empty__other_py": "", "bad-name_py": GOOD, "json_py": GOOD}
    done = spanbook(target, flow__pipeline_py=GOOD, flow____init___py="", **files)
    assert done.returncode == 2
    assert said in done.stderr, done.stderr
