"""Rule: the static site reads runs, histories and experiments as a real `mlflow server` of the pinned version does.

As in test_differential.py, each request goes to both.
"""

# ruff: noqa: E501 - requests as they are sent

import math
from urllib.parse import urlencode

import pytest
from differential import API, BOTH, IDS, RUNS, Twins
from mlflow_twins import EXPERIMENTS

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_run_of_every_kind(twins: Twins) -> None:
    """runs/get gives the same run, and the same refusal for one that is not there."""
    for run in [*IDS[:30], "0" * 48, "x", "", "a" * 300, "../secret"]:
        twins.same("GET", f"{API}runs/get?{urlencode({'run_id': run})}")
    twins.same("GET", f"{API}runs/get?{urlencode({'run_uuid': IDS[0]})}")
    twins.same("GET", f"{API}runs/get")


def test_histories_are_the_same(twins: Twins) -> None:
    """Full histories, pages of them and 320-point samples have the same points in the same order."""
    records = [r for rs in RUNS.values() for r in rs][:16]
    points = 0
    for record in records:
        for key in [*list(record.histories)[:3], "missing"]:
            query = {"run_id": record.id, "metric_key": key}
            points += len(
                twins.same("GET", f"{API}metrics/get-history?{urlencode(query)}").get("metrics", [])
            )
            for size in (320, 7, 1, 2500):
                interval = {"run_ids": record.id, "metric_key": key, "max_results": size}
                twins.same("GET", f"{API}metrics/get-history-bulk-interval?{urlencode(interval)}")
    assert points > 100


@pytest.mark.parametrize(
    "query",
    [
        {"start_step": 10, "end_step": 200}, {"start_step": 10}, {"end_step": 3}, {"start_step": 9, "end_step": 3},
        {"max_results": 0}, {"max_results": 2501}, {"max_results": 10, "start_step": 0, "end_step": 0}, {},
    ],
)  # fmt: skip
def test_intervals_of_steps(twins: Twins, query: dict[str, object]) -> None:
    """Ranges of steps are sampled alike, for several runs, and refused alike."""
    long = [r.id for rs in RUNS.values() for r in rs if len(r.histories.get("loss", [])) > 300][:5]
    asked = urlencode({"run_ids": long, "metric_key": "loss", **query}, doseq=True)
    twins.same("GET", f"{API}metrics/get-history-bulk-interval?{asked}")


def test_histories_page_by_page(twins: Twins) -> None:
    """get-history pages with tokens; get-history-bulk takes several runs; both refuse alike."""
    record = next(r for rs in RUNS.values() for r in rs if len(r.histories.get("acc", [])) > 300)
    query: dict[str, object] = {"run_id": record.id, "metric_key": "acc", "max_results": 100}
    for _ in range(3):
        answer = twins.same("GET", f"{API}metrics/get-history?{urlencode(query)}")
        query["page_token"] = answer["next_page_token"]
    for bad in ({"max_results": 0}, {"metric_key": ""}, {"run_id": ""}):
        twins.same("GET", f"{API}metrics/get-history?{urlencode({**query, **bad})}")
    bulk = urlencode({"run_id": IDS[:4], "metric_key": "acc"}, doseq=True)
    twins.same("GET", f"{API}metrics/get-history-bulk?{bulk}")
    twins.same("GET", f"{API}metrics/get-history-bulk?metric_key=acc")


EXPERIMENT_SEARCHES = [
    {}, {"max_results": 1}, {"max_results": 10}, {"max_results": 10, "order_by": ["name"]}, {"max_results": 10, "order_by": ["name DESC"]},
    {"max_results": 10, "order_by": ["last_update_time DESC"]}, {"max_results": 10, "order_by": ["experiment_id"]},
    {"max_results": 10, "order_by": ["tags.x"]}, {"max_results": 10, "order_by": ["nothing"]},
    *({"max_results": 10, "filter": text} for text in (
        "name = 'shop/train'", "name != 'shop/train'", "name LIKE 'shop%'", "name ILIKE 'SHOP/É%'", "name ILIKE '%TRAIN'", "attribute.name = 'x'",
        "experiment_id = '200000000000001'", "experiment_id IN ('200000000000001', '3')", "experiment_id NOT IN ('3')", "experiment_id LIKE '2'",
        "experiment_id = 'x'", "creation_time > 1", "creation_time > 1.5", "last_update_time = 1", "creation_time LIKE '1'", "name > 'a'",
        "tags.`mlflow.note.content` IS NULL", "tags.`mlflow.note.content` IS NOT NULL", "tags.`mlflow.experiment.isGateway` IS NULL",
        "tags.`mlflow.note.content` LIKE '%monitor%'", "tags.x = 'y'", "metrics.x > 1", "name IS NULL", "params.x = 'y'", "name = 'a' OR name = 'b'",
        "attributes.name = 'x'", "name IN ('a')",
    )),
]  # fmt: skip


def test_experiments_are_the_same(twins: Twins) -> None:
    """Experiments are searched, ordered and refused alike."""
    wrong = []
    for request in EXPERIMENT_SEARCHES:
        try:
            twins.same("POST", f"{API}experiments/search", request)
        except AssertionError as error:
            wrong.append(str(error).split("\nassert")[0][:3000])
    assert not wrong, "\n".join(wrong)
    for number in [*BOTH, "3", "x", ""]:
        twins.same("GET", f"{API}experiments/get?{urlencode({'experiment_id': number})}")
    for name in [*EXPERIMENTS.values(), "nobody"]:
        twins.same("GET", f"{API}experiments/get-by-name?{urlencode({'experiment_name': name})}")


GRAPHQL = {
    "MlflowGetExperimentQuery": (
        "query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: \"MLflow.ExperimentRunTracking\") "
        "{ mlflowGetExperiment(input: $input) { apiError { code message __typename } experiment { artifactLocation creationTime "
        "effectiveTraceArchivalRetention experimentId lastUpdateTime lifecycleStage name tags { key value __typename } __typename } __typename } }",
        {"input": {"experimentId": BOTH[0]}},
    ),
    "GetRun": (
        "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { apiError { helpUrl code message __typename } run { info "
        "{ runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename } experiment { experimentId name "
        "tags { key value __typename } artifactLocation lifecycleStage lastUpdateTime __typename } modelVersions { status version name source __typename } "
        "data { metrics { key value step timestamp __typename } params { key value __typename } tags { key value __typename } __typename } "
        "inputs { datasetInputs { dataset { digest name __typename } tags { key value __typename } __typename } modelInputs { modelId __typename } __typename } "
        "outputs { modelOutputs { modelId step __typename } __typename } __typename } __typename } }",
        {"data": {"runId": IDS[0]}},
    ),
    "SearchRuns": (
        "query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) { apiError { code message } runs { info { runUuid runName } } } }",
        {"data": {"experimentIds": BOTH, "filter": "metrics.loss > 0", "maxResults": 20, "orderBy": ["metrics.loss DESC"]}},
    ),
    "GetMetricHistoryBulkInterval": (
        "query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!) { mlflowGetMetricHistoryBulkInterval(input: $data) "
        "{ __typename metrics { timestamp step runId key value __typename } apiError { code message __typename } } }",
        {"data": {"runIds": IDS[:3], "metricKey": "acc", "startStep": None, "endStep": None, "maxResults": 320}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHQL)
def test_graphql_queries_are_the_same(twins: Twins, name: str) -> None:
    """The UI's GraphQL queries get the same selection, types and 64-bit integers as text."""
    query, variables = GRAPHQL[name]
    for run in IDS[:12] if name == "GetRun" else IDS[:1]:
        given = {"data": {"runId": run}} if name == "GetRun" else variables
        twins.same("POST", "graphql", {"operationName": name, "query": query, "variables": given})


def test_lists_of_what_a_run_file_has_not_are_empty_alike(twins: Twins) -> None:
    """Registry, traces, logged models and datasets answer as a server that has none."""
    twins.same("GET", f"{API}registered-models/search?max_results=10")
    twins.same("GET", f"{API}model-versions/search?filter=run_id%3D%27x%27")
    twins.same("POST", f"{API}logged-models/search", {"experiment_ids": BOTH})
    twins.same("POST", f"{API}experiments/search-datasets", {"experiment_ids": BOTH})


def test_nan_survives_as_text(twins: Twins) -> None:
    """A NaN is there on both sides, as MLflow writes it in JSON."""
    runs = twins.search()
    values = [m["value"] for run in runs for m in run["data"].get("metrics", [])]
    assert "NaN" in values
    assert all(isinstance(v, str) or math.isfinite(v) for v in values)
