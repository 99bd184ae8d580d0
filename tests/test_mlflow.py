"""An unmodified MLflow client in the tasks of a real run: its records, and where they are shown."""

import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from spanbook_runfile import Run, read_run
from support.stack import Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow-skinny"),
]

PIPELINE = """
    from spanbook import log, notebook_task, pipeline, task

    @task
    def train(depth: int):
        import mlflow
        mlflow.log_metric("loss", 0.5, step=3)
        mlflow.log_param("token", "s3cr3t-s3cr3t")
        mlflow.log_text("<b>by mlflow</b>", "notes.txt")
        log.metric("loss", 0.25, step=4)
        with mlflow.start_run(nested=True, run_name="fold"):
            mlflow.log_metric("loss", 7.0)
        print("left open:", mlflow.active_run().info.run_id)
        return depth

    @task
    def after(depth: int):  # the same worker: nothing of the other's run may be left
        import mlflow
        assert mlflow.active_run() is None
        mlflow.log_metric("own", depth)

    @task(retries=1)
    def again(depth: int):
        import mlflow
        mlflow.set_tag("try", "one")
        raise ValueError("no")

    look = notebook_task("look.py")

    @pipeline
    def tracked(depth: int = 3):
        d = train(depth)
        after(d)
        again(d)
        look(depth=d)
"""
NOTEBOOK = """
    # %% tags=["parameters"]
    depth = 1
    # %%
    import mlflow
    mlflow.log_metric("depth", depth)
    mlflow.log_dict({"depth": depth}, "depth.json")
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack that has run the pipeline once."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    (folder / "look.py").write_text(textwrap.dedent(NOTEBOOK))
    stack = Stack(folder / "outputs", extra={"MY_TOKEN": "s3cr3t-s3cr3t", "SPANBOOK_CPUS": "1"})
    done = stack.run("run", str(folder), "--local")
    assert done.returncode == 1, done.stdout + done.stderr
    return stack


@pytest.fixture(scope="module")
def run(stack: Stack) -> Run:
    """That run."""
    (path,) = stack.run_files()
    assert path.name == f"{read_run(path).id}.json"
    return read_run(path)


def test_by_mlflow_and_by_log_are_one(run: Run) -> None:
    """What MLflow logs and what spanbook.log logs make one attempt's story; secrets are masked."""
    assert run.seal is not None
    assert run.seal.reason == "complete"
    final = next(task.final for task in run.tasks if task.name == "train")
    assert final is not None
    assert sorted(zip(final.metrics["loss"].steps, final.metrics["loss"].values, strict=True)) == [
        (3, 0.5),
        (4, 0.25),
    ]
    assert final.parameters == {"depth": 3, "token": "***"}
    assert [a.path for a in final.artifacts] == ["notes.txt"]
    assert [(c.name, c.metrics["loss"].last) for c in final.children] == [("fold", 7.0)]


def test_each_attempt_has_its_own(run: Run) -> None:
    """A task in the same worker, a retry and a notebook log to their own runs."""
    tasks = {task.name: task for task in run.tasks}
    after, look = tasks["after"].final, tasks["look"].final
    assert after is not None
    assert look is not None
    assert after.metrics["own"].last == 3
    assert look.metrics["depth"].last == 3
    assert "depth.json" in [a.path for a in look.artifacts]
    assert [(a.number, dict(a.tags)) for a in tasks["again"].attempts] == [
        (1, {"try": "one"}),
        (2, {"try": "one"}),
    ]


def test_the_site_shows_it(stack: Stack, run: Run) -> None:
    """The task's page shows the metric and the file as any others."""
    task = next(task for task in run.tasks if task.name == "train")
    page = stack.outputs / "site" / "runs" / run.id / "tasks" / task.id / "index.html"
    text = Path(page).read_text()
    assert "notes.txt" in text
    assert "loss" in text
