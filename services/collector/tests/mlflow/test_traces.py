"""The search for MLflow's traces: filters, order, pages, and what is refused."""

import pytest
from mlflow_rest import Api

SEARCH = "/api/3.0/mlflow/traces/search"


@pytest.fixture(scope="module")
def traces(module_collector) -> tuple[Api, str]:
    """Three traces of an experiment of their own, a second apart."""
    api = Api(f"{module_collector.http}/mlflow")
    home = api.post("experiments/create", name="traced")["experiment_id"]
    for number, (state, name) in enumerate([("OK", "one"), ("ERROR", "two"), ("OK", "three")]):
        info = {
            "trace_id": f"tr-{number}",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": home},
            },
            "request_time": f"2026-01-01T00:00:0{number}Z",
            "execution_duration": f"{number + 1}.5s",
            "state": state,
            "trace_metadata": {"user": "ada" if number else "bob"},
            "tags": {"mlflow.traceName": name, **({"kept": "yes"} if number == 2 else {})},
        }
        status, answer = api("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
        assert status == 200, answer
    return api, home


def _found(traces: tuple[Api, str], **asked: object) -> list[str]:
    api, home = traces
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": home}}
    status, answer = api("POST", SEARCH, {"locations": [place], **asked})
    assert status == 200, answer
    return [trace["trace_id"].removeprefix("tr-") for trace in answer["traces"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "210"),
        ("timestamp > 0", "210"),
        ("trace.timestamp_ms >= 1767225601000", "21"),
        ("status = 'OK'", "20"),
        ("attributes.state != 'OK'", "1"),
        ("trace.name IN ('one', 'two') AND execution_time_ms < 2000", "0"),
        ("status NOT IN ('OK')", "1"),
        ("name LIKE 't%'", "21"),
        ("metadata.user = 'ada' AND end_time < 1767225604000", "1"),
        ("request_metadata.user = 'bob'", "0"),
        ("tag.kept IS NOT NULL", "2"),
        ("tags.kept IS NULL", "10"),
        ("tags.`mlflow.traceName` = 'three'", "2"),
        ("request_id = 'tr-1'", "1"),
        ("run_id = 'none'", ""),
    ],
)
def test_filters_find_traces(traces: tuple[Api, str], text: str, found: str) -> None:
    """Traces are found by what is told of them, the newest first."""
    assert "".join(_found(traces, filter=text)) == found


def test_traces_are_ordered_and_paged(traces: tuple[Api, str]) -> None:
    """Order is by any attribute; a page has a token where there are more."""
    assert _found(traces, order_by=["timestamp ASC"]) == ["0", "1", "2"]
    assert _found(traces, order_by=["status ASC", "execution_time DESC"]) == ["1", "2", "0"]
    assert _found(traces, order_by=["timestamp"], max_results=2) == ["0", "1"]


@pytest.mark.parametrize(
    "text",
    ["metrics.a > 1", "nonsense = 'x'", "status > 'OK'", "timestamp > 'x'", "span.name = 'x'"],
)
def test_filters_of_no_meaning_are_refused(traces: tuple[Api, str], text: str) -> None:
    """What traces do not have is refused, with MLflow's code."""
    api, home = traces
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": home}}
    refused = api.refused("POST", SEARCH, {"locations": [place], "filter": text})
    assert refused[:2] == (400, "INVALID_PARAMETER_VALUE")
