"""An unmodified MLflow client logs into a run file, in a task and on its own, and reads it back."""

import pytest
from mlflow_rest import Api, Attempt
from spanbook_runfile import read_run

EVERYTHING = """
    import math, os, sys, mlflow
    from mlflow.entities import Metric, Param, RunTag

    client = mlflow.MlflowClient()
    mlflow.log_param("alpha", 0.5)
    run = mlflow.active_run().info.run_id
    mlflow.log_params({"layers": [1, 2], "name": "x" * 6000})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd", math.nan)
    mlflow.log_metric("odd", math.inf, step=1)
    mlflow.log_metric("void", math.nan)
    mlflow.set_tags({"team": "blue", "wrong": "x"})
    mlflow.delete_tag("wrong")
    client.log_batch(
        run,
        [Metric("batch", i, 1_700_000_000_000 + i, i) for i in range(1000)],
        [Param(f"p{i}", str(i)) for i in range(100)],
        [RunTag("batched", "yes")],
    )
    mlflow.log_dict({"k": [1]}, "conf/d.json")
    mlflow.log_text("häß", "notes.txt")
    data = os.urandom(3_500_000)
    open("big.bin", "wb").write(data)
    mlflow.log_artifact("big.bin", "files")
    with mlflow.start_run(nested=True, run_name="inner") as inner:
        mlflow.log_metric("loss", 7)
        with mlflow.start_run(nested=True, run_name="innermost"):
            mlflow.log_text("deep", "deep.txt")

    found = mlflow.get_run(run)
    assert found.data.params["alpha"] == "0.5", found.data.params
    assert found.data.metrics["loss"] == 0.2
    assert found.data.tags["team"] == "blue" and "wrong" not in found.data.tags
    assert [m.value for m in client.get_metric_history(run, "loss")] == [1, 1/2, 1/3, 1/4, 1/5]
    assert len(client.get_metric_history(run, "batch")) == 1000
    assert [f.path for f in client.list_artifacts(run)] == ["conf", "files", "notes.txt"]
    assert open(client.download_artifacts(run, "files/big.bin"), "rb").read() == data
    assert mlflow.artifacts.load_text(found.info.artifact_uri + "/notes.txt") == "häß"
    mine = [found.info.experiment_id]
    assert {r.info.run_name for r in client.search_runs(mine, "metrics.loss > 1")} == {"inner"}
    assert found.data.metrics["odd"] == sys.float_info.max
    assert not client.search_runs(mine, "metrics.void > -1")
    assert len(client.search_runs(mine, "metrics.void != 1")) == 1
    assert client.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == run
    try:
        mlflow.log_param("alpha", 0.6)
    except mlflow.MlflowException as error:
        assert error.error_code == "INVALID_PARAMETER_VALUE", error
    else:
        raise AssertionError("a parameter was changed")
    try:
        client.create_registered_model("m")
    except mlflow.MlflowException as error:
        assert "not kept here" in str(error), error
    mlflow.end_run()
    assert client.get_run(run).info.status == "FINISHED"
"""


def test_everything_in_a_task(attempt: Attempt, client) -> None:
    """What a task logs by MLflow is in its attempt, as the same records that ``spanbook.log`` makes."""
    client(EVERYTHING, attempt.uri, MLFLOW_RUN_ID=attempt.id)
    attempt.end(3)
    run = attempt.sealed()
    assert run.seal is not None
    assert run.seal.reason == "complete"
    assert not run.problems
    final = run.tasks[0].attempts[0]
    assert final.parameters["alpha"] == "0.5"
    assert len(final.parameters) == 103
    assert final.metrics["loss"].values == (1, 1 / 2, 1 / 3, 1 / 4, 1 / 5)
    assert final.metrics["loss"].steps == (0, 1, 2, 3, 4)
    assert len(final.metrics["batch"].values) == 1000
    assert final.tags == {"team": "blue", "batched": "yes"}
    assert [(a.path, a.intact) for a in final.artifacts] == [
        ("conf/d.json", True),
        ("files/big.bin", True),
        ("notes.txt", True),
    ]
    inner, innermost = final.children
    assert (inner.name, inner.parent, inner.status) == ("inner", final.id, "FINISHED")
    assert (innermost.name, innermost.parent) == ("innermost", inner.id)
    assert innermost.artifacts[0].data == b"deep"
    assert not run.other_spans


def test_a_loop_of_runs_under_a_named_experiment(attempt: Attempt, client) -> None:
    """A script that names its experiment and starts run after run works as it stands."""
    client(
        """
        import mlflow
        mlflow.set_experiment("Sweep")
        for depth in range(3):
            with mlflow.start_run(run_name=f"d{depth}"):
                mlflow.log_param("depth", depth)
        names = {r.info.run_name for r in mlflow.search_runs(
            experiment_names=["Sweep"], output_format="list")}
        assert names == {"d0", "d1", "d2"}, names
        mlflow.set_experiment("Another")
        with mlflow.start_run(run_name="other"):
            pass
        found = mlflow.search_runs(experiment_names=["Another"], output_format="list")
        assert [r.info.run_name for r in found] == ["other"], found
        """,
        attempt.uri,
        MLFLOW_RUN_ID=attempt.id,
    )
    attempt.end(3)
    final = attempt.sealed().tasks[0].attempts[0]
    assert final.experiment == "Sweep"
    assert final.parameters == {"depth": "0"}
    assert [(c.name, c.experiment) for c in final.children] == [
        ("d1", ""),
        ("d2", ""),
        ("other", "Another"),
    ]


def test_scripts_of_mlflows_documentation_in_a_task(attempt: Attempt, client) -> None:
    """Run after run, folders, states, deleting and restoring are as with MLflow's own server."""
    client(
        """
        import os, mlflow
        from mlflow.entities import ViewType

        client = mlflow.MlflowClient()
        experiment = mlflow.set_experiment("documented").experiment_id
        with mlflow.start_run(run_name="one", description="hello") as one:
            assert one.info.experiment_id == experiment
            mlflow.log_metrics({"a": 1.0, "b": 2.0}, step=3)
            mlflow.log_params({"long": "x" * 6001, "none": None})
        with mlflow.start_run(run_name="two") as two:
            with mlflow.start_run(nested=True, run_name="inner") as inner:
                pass
        assert len({one.info.run_id, two.info.run_id, inner.info.run_id}) == 3
        assert mlflow.get_parent_run(inner.info.run_id).info.run_id == two.info.run_id
        kept = client.get_run(one.info.run_id).data
        assert kept.params == {"long": "x" * 6000, "none": "None"}, kept.params
        assert kept.tags["mlflow.note.content"] == "hello"
        assert client.get_metric_history(one.info.run_id, "a")[0].step == 3
        found = mlflow.search_runs(order_by=["metrics.a DESC"], output_format="list")
        assert found[0].info.run_name == "one", found

        os.makedirs("deep/a/b")
        for path in ("deep/1.txt", "deep/a/b/3 ü.txt"):
            open(path, "w").write(path)
        open("deep/empty", "w").close()
        with mlflow.start_run(run_id=one.info.run_id):
            mlflow.log_artifacts("deep", "x/y")
        assert [f.path for f in client.list_artifacts(one.info.run_id, "x/y")] == [
            "x/y/1.txt", "x/y/a", "x/y/empty"]
        copy = mlflow.artifacts.download_artifacts(run_id=one.info.run_id, artifact_path="x")
        assert open(copy + "/y/a/b/3 ü.txt").read() == "deep/a/b/3 ü.txt"
        assert os.path.getsize(copy + "/y/empty") == 0

        for status in ("FINISHED", "FAILED", "KILLED"):
            made = client.create_run(experiment, run_name=status, start_time=1234)
            client.set_terminated(made.info.run_id, status, end_time=5678)
            info = client.get_run(made.info.run_id).info
            assert (info.status, info.start_time, info.end_time) == (status, 1234, 5678), info
        client.delete_run(made.info.run_id)
        deleted = client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)
        assert [r.info.run_id for r in deleted] == [made.info.run_id]
        try:
            client.log_metric(made.info.run_id, "m", 1)
        except mlflow.MlflowException as error:
            assert error.error_code == "INVALID_PARAMETER_VALUE", error
        else:
            raise AssertionError("a deleted run was changed")
        client.restore_run(made.info.run_id)
        client.log_metric(made.info.run_id, "m", 1)
        try:
            with mlflow.start_run(run_name="broken"):
                raise ValueError
        except ValueError:
            assert mlflow.last_active_run().info.status == "FAILED"
        """,
        attempt.uri,
        MLFLOW_RUN_ID=attempt.id,
    )
    attempt.end(3)
    run = attempt.sealed()
    assert not run.problems
    final = run.tasks[0].attempts[0]
    assert (final.experiment, final.metrics["a"].steps) == ("documented", (3,))
    assert {c.name: c.status for c in final.children} == {
        "two": "FINISHED",
        "inner": "FINISHED",
        "FINISHED": "FINISHED",
        "FAILED": "FAILED",
        "KILLED": "KILLED",
        "broken": "FAILED",
    }


def test_a_plain_script_makes_a_run_of_its_own(collector, client, until) -> None:
    """Outside a pipeline an MLflow run is a run file, sealed when it ends, and found again."""
    running = collector("--mlflow-linger=0.5")
    script = """
        import sys, mlflow
        mlflow.set_experiment("Digits")
        with mlflow.start_run(run_name="first") as run:
            mlflow.log_metric("acc", 0.9)
            with mlflow.start_run(nested=True):
                mlflow.log_param("fold", 1)
        mlflow.MlflowClient().set_tag(run.info.run_id, "after", "the end")
        print(run.info.run_id)
    """
    run_id = client(script, f"{running.http}/mlflow").split()[-1]
    running.sealed(run_id[:32])
    run = read_run(running.run_file(run_id[:32]))
    assert (run.pipeline, run.state) == ("Digits", "success")
    assert run.seal is not None
    assert run.seal.reason == "complete"
    assert run.seal.received == run.seal.declared
    final = run.tasks[0].attempts[0]
    assert final.metrics["acc"].last == 0.9
    assert final.tags["after"] == "the end"
    assert final.children[0].parameters == {"fold": "1"}
    api = Api(f"{running.http}/mlflow")
    status, code, message = api.refused(
        "POST", "/api/2.0/mlflow/runs/set-tag", {"run_id": run_id, "key": "k", "value": "v"}
    )
    assert (status, code) == (400, "INVALID_STATE")
    assert "sealed" in message
    found = client(
        """
        import mlflow
        found = mlflow.search_runs(
            experiment_names=["Digits"], filter_string="metrics.acc > 0.5", output_format="list")
        print([r.info.run_name for r in found], mlflow.get_run(found[0].info.run_id).info.status)
        """,
        f"{running.http}/mlflow",
    )
    assert found.splitlines()[-1] == "['first'] FINISHED"


@pytest.mark.parametrize("where", ["task", "alone"])
def test_tracing(where: str, attempt: Attempt, collector, client, until) -> None:
    """Traces of MLflow are read back, and their spans are the run's."""
    running = collector("--mlflow-linger=0.5") if where == "alone" else attempt.collector
    script = """
        import mlflow
        @mlflow.trace
        def outer(x):
            with mlflow.start_span("inner") as span:
                span.set_inputs({"x": x})
            return x + 1
        with mlflow.start_run() as run:
            outer(1)
            getattr(mlflow, "flush_trace_async_logging", lambda: None)()
            client = mlflow.MlflowClient()
            found = client.search_traces([run.info.experiment_id])
            assert [s.name for s in found[0].data.spans] == ["outer", "inner"], found
        print(run.info.run_id)
    """
    if where == "alone":
        run_id = client(script, f"{running.http}/mlflow").split()[-1]
        running.sealed(run_id[:32])
        run = read_run(running.run_file(run_id[:32]))
    else:
        client(script, attempt.uri, MLFLOW_RUN_ID=attempt.id)
        attempt.end(3)
        run = attempt.sealed()
    final = run.tasks[0].attempts[0]
    outer, inner = sorted(run.other_spans, key=lambda s: s.start)
    assert (outer.name, outer.parent) == ("outer", final.id)
    assert (inner.name, inner.parent) == ("inner", outer.id)
    assert len(final.traces) == 1


def test_a_model_without_a_run_has_one_of_its_own(collector, client) -> None:
    """What is logged outside any run is kept as a run named by the model, which ends when it is ready."""
    found = collector("--mlflow-linger=0.1")
    said = client(
        """
        import mlflow
        made = mlflow.create_external_model(name="far away", params={"depth": "3"}, tags={"a": "b"})
        again = mlflow.get_logged_model(made.model_id)
        assert (again.name, again.params, again.tags["a"]) == ("far away", {"depth": "3"}, "b")
        assert again.status == "READY", again.status
        print(made.source_run_id)
        """,
        f"{found.http}/mlflow",
    )
    run = said.split()[-1][:32]
    found.sealed(run)
    final = read_run(found.run_file(run)).tasks[0].attempts[0]
    assert [model.name for model in final.models] == ["far away"]


def test_a_renamed_experiment_keeps_its_runs(collector, client) -> None:
    """Runs from before and after a new name are of one experiment, children and sealed ones too."""
    client(
        """
        import mlflow
        client = mlflow.MlflowClient()
        number = client.create_experiment("old name")
        before = client.create_run(number)
        client.set_terminated(before.info.run_id)
        client.rename_experiment(number, "new name")
        assert mlflow.set_experiment("new name").experiment_id == number
        with mlflow.start_run() as run:
            assert run.info.experiment_id == number
            with mlflow.start_run(nested=True) as child:
                assert child.info.experiment_id == number
        found = {r.info.run_id for r in client.search_runs([number])}
        assert found == {before.info.run_id, run.info.run_id, child.info.run_id}, found
        """,
        f"{collector('--mlflow-linger=0.1').http}/mlflow",
    )
