"""Logged models across runs: what one run takes in, gives out or measures of a model that another made."""

from typing import Any

from mlflow_rest import Api, Attempt
from spanbook_runfile import read_run

FILES = "/ajax-api/2.0/mlflow/logged-models/{}/artifacts/files?artifact_file_path={}"


def _model(api: Api, **more: Any) -> str:
    model: str = api.post("logged-models", name="svm", **more)["model"]["info"]["model_id"]
    return model


def _measure(api: Api, run: str, model: str) -> None:
    point = {"key": "f1", "value": 0.9, "timestamp": 5, "step": 2, "model_id": model}
    about = {"dataset_name": "test", "dataset_digest": "d1"}
    api.post("runs/log-batch", run_id=run, metrics=[{**point, **about}])


def _use(api: Api, run: str, model: str) -> None:
    api.post("runs/log-inputs", run_id=run, models=[{"model_id": model}])
    api.post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 7}])


def _metrics(api: Api, model: str) -> list[tuple[str, float, str]]:
    data = api.get(f"logged-models/{model}")["model"]["data"]
    return [(point["key"], point["value"], point["run_id"]) for point in data["metrics"]]


def test_a_later_run_measures_the_model_of_a_sealed_one(collector) -> None:
    """Its points are the model's, by its own run id, also after kill -9; a search by dataset finds the model."""
    running = collector("--mlflow-linger=0.1")
    api = Api(f"{running.http}/mlflow")
    home = api.post("experiments/create", name="Digits")["experiment_id"]
    made = api.post("runs/create", experiment_id=home)["run"]["info"]["run_id"]
    model, other = (_model(api, experiment_id=home, source_run_id=made) for _ in range(2))
    api.post("runs/update", run_id=made, status="FINISHED")
    running.sealed(made[:32])
    run = api.post("runs/create", experiment_id=home)["run"]["info"]["run_id"]
    _measure(api, run, model)
    _use(api, run, model)
    running.kill()
    running = collector("--mlflow-linger=0.1", outputs=running.outputs)
    api = Api(f"{running.http}/mlflow")
    assert _metrics(api, model) == [("f1", 0.9, run)]
    assert _metrics(api, other) == []
    told = api.get(f"runs/get?run_id={run}")["run"]
    assert told["inputs"]["model_inputs"] == [{"model_id": model}]
    assert told["outputs"]["model_outputs"] == [{"model_id": model, "step": 7}]
    for asked in (
        {"datasets": [{"dataset_name": "test", "dataset_digest": "d1"}]},
        {"datasets": [{"dataset_name": "test"}]},
        {"filter": "metrics.f1 > 0.5"},
    ):
        found = api.post("logged-models/search", experiment_ids=[home], **asked)["models"]
        assert [each["info"]["model_id"] for each in found] == [model]
        assert found[0]["data"]["metrics"][0]["run_id"] == run
    asked = {"datasets": [{"dataset_name": "test", "dataset_digest": "d2"}]}
    assert api.post("logged-models/search", experiment_ids=[home], **asked)["models"] == []
    api.post("runs/update", run_id=run, status="FINISHED")
    running.sealed(run[:32])
    assert _metrics(api, model) == [("f1", 0.9, run)]


def test_runs_of_one_attempt_share_a_model(attempt: Attempt) -> None:
    """A nested run measures its parent's model; the run file keeps that with the nested run."""
    api = Api(attempt.uri)
    model = _model(api)
    status, _ = api(
        "PUT", f"/api/2.0/mlflow-artifacts/artifacts/0/models/{model}/artifacts/MLmodel", b"yes"
    )
    assert status == 200
    child = api.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    _measure(api, child, model)
    _use(api, child, model)
    _use(api, attempt.id, model)
    assert _metrics(api, model) == [("f1", 0.9, child)]
    assert api("GET", FILES.format(model, "MLmodel"))[1] == b"yes"
    assert api.refused("GET", FILES.format(model, "../MLmodel"))[0] == 400
    assert api.refused("GET", FILES.format(model, "none"))[0] == 404
    attempt.end(3)
    attempt.sealed()
    final = read_run(attempt.collector.run_file(attempt.run)).tasks[0].attempts[0]
    (own,) = final.model_uses
    assert (own.id, own.input, own.step, own.metrics) == (model, True, None, ())
    assert final.models[0].step == 7
    (use,) = final.children[0].model_uses
    assert (use.id, use.input, use.step) == (model, True, 7)
    assert use.metrics == (("f1", 0.9, 2, 5_000_000, "test", "d1"),)
