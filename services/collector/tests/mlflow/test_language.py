"""MLflow's filter language, of runs outside a pipeline once they are sealed."""

import pytest
from mlflow_rest import Api


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("metrics.loss > .5", 1),
        ("params.lr = 'it''s'", 0),
        ("attributes.`Run Name` = 'one'", 1),
        ("attributes.artifact_uri LIKE 'mlflow-artifacts:%'", 1),
        ("user_id = 'ada'", 1),
        ("metrics.loss < 1e3 AND params.lr != 'x'", 1),
        ("params.lr LIKE '%t%'", 1),
        ("params.lr LIKE 'it_s'", 1),
        ("params.lr LIKE 'it_'", 0),
        ("params.lr LIKE '_t%s%%'", 1),
        ("params.lr LIKE 'T%'", 0),
        ("params.lr ILIKE 'IT%S'", 1),
        ("params.lr LIKE '%t%t%'", 0),
        ("tags.long LIKE '" + "%a" * 60 + "%b'", 0),  # within the time of a request
        ("tags.long LIKE '" + "%a" * 60 + "%'", 1),
    ],
)
def test_filters_find_what_mlflows_server_finds(
    sealed_run: tuple[Api, str], text: str, found: int
) -> None:
    """What the language says of a run is the same once it is sealed."""
    api, experiment = sealed_run
    answer = api.post("runs/search", experiment_ids=[experiment], filter=text)
    assert len(answer.get("runs", [])) == found


@pytest.mark.parametrize("text", ["metrics.1 > 0", "metrics.loss > 0 OR metrics.loss < 0"])
def test_filters_of_no_meaning_are_refused(sealed_run: tuple[Api, str], text: str) -> None:
    """What the server refuses is refused, with its code."""
    api, experiment = sealed_run
    body = {"experiment_ids": [experiment], "filter": text}
    assert api.refused("POST", "/api/2.0/mlflow/runs/search", body)[:2] == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


@pytest.fixture(scope="module")
def sealed_run(module_collector) -> tuple[Api, str]:
    """A run of an experiment of its own, ended and sealed."""
    api = Api(f"{module_collector.http}/mlflow")
    experiment = api.post("experiments/create", name="language")["experiment_id"]
    made = api.post("runs/create", experiment_id=experiment, run_name="one", user_id="ada")
    run = made["run"]["info"]["run_id"]
    api.post("runs/log-metric", run_id=run, key="loss", value=0.75, timestamp=1)
    api.post("runs/log-parameter", run_id=run, key="lr", value="it's")
    api.post("runs/set-tag", run_id=run, key="long", value="a" * 8000)
    api.post("runs/update", run_id=run, status="FINISHED")
    module_collector.sealed(run[:32])
    return api, experiment
