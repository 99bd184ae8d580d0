"""Rule: the static site answers as a real `mlflow server` of the pinned version that holds the same runs.

Each request goes to both, through the page's own fetch here and over HTTP there. Answers must be
the same message for message; refusals must have the same status and error code.
"""

# ruff: noqa: E501, RUF001 - requests and names as they are sent

import base64
import json
import math
import random
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from mlflow_twins import (
    EXPERIMENTS,
    METRICS,
    PARAMS,
    START,
    TAGS,
    WORDS,
    Served,
    generated,
    real_server,
    static_server,
    write_static,
)
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BOTH = list(EXPERIMENTS)
SEARCH = "ajax-api/2.0/mlflow/runs/search"
API = "ajax-api/2.0/mlflow/"
RUNS = generated()
IDS = [record.id for records in RUNS.values() for record in records]


@dataclass
class Twins:
    """One page of the static site, and the address of the real server."""

    page: Page
    server: Served

    def static(self, method: str, route: str, body: object = None) -> tuple[int, Any]:
        """What the static site answers."""
        status, text = self.page.evaluate(
            """async ([method, route, body]) => {
              const options = body === null ? { method } : { method, body: JSON.stringify(body) };
              const response = await fetch(route, options);
              return [response.status, await response.text()];
            }""",
            [method, route, body],
        )
        return status, _parsed(text)

    def real(self, method: str, route: str, body: object = None) -> tuple[int, Any]:
        """What the real server answers."""
        request = urllib.request.Request(
            self.server.url + route,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, _parsed(response.read().decode())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read().decode())

    def same(self, method: str, route: str, body: object = None) -> Any:
        """Ask both; returns the real answer after they were found to be the same."""
        (ours, mine), (theirs, real) = (
            self.static(method, route, body),
            self.real(method, route, body),
        )
        told = f"{method} {route} {json.dumps(body, ensure_ascii=False)}"
        if theirs == 500:  # a fault of the server's: there ours refuses, or tells of the same fault
            assert ours == 400 or mine["error_code"] == real["error_code"], told
            return real
        assert ours == theirs, (
            f"{told}: {ours} {str(mine)[:400]} but the server says {theirs} {str(real)[:400]}"
        )
        if theirs == 200:
            assert _sorted(mine) == _sorted(real), f"{told}: {mine} but the server says {real}"
        else:
            assert mine["error_code"] == real["error_code"], told
        return real

    def search(self, **request: object) -> list[dict[str, Any]]:
        """Search runs in both."""
        found = self.same("POST", SEARCH, {"experiment_ids": BOTH, "max_results": 1000, **request})
        return list(found.get("runs", []))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}


def _sorted(message: Any) -> Any:
    """A message with a run's metrics, parameters and tags by key: the server's order of them is none."""
    if isinstance(message, dict):
        out = {key: _sorted(value) for key, value in message.items()}
        for kind in ("metrics", "params", "tags"):
            if isinstance(out.get(kind), list) and "run_id" not in str(out[kind][:1]):
                out[kind] = sorted(
                    out[kind],
                    key=lambda item: (item["key"], item.get("timestamp", 0), item.get("step", 0)),
                )
        return out
    if isinstance(message, list):
        return [_sorted(item) for item in message]
    return message


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Twins]:
    """Both, with the same runs."""
    folder = tmp_path_factory.mktemp("twins")
    site = folder / "www" / "some" / "path"
    write_static(site, RUNS)
    (folder / "server").mkdir()
    shutil.copy(site / "mlflow" / "data" / "experiments.json", folder / "server")
    with static_server(folder / "www") as static, real_server(folder / "server", RUNS) as server:
        page = chromium.new_page()
        page.goto(f"{static.url}some/path/mlflow/index.html#/experiments")
        page.wait_for_function("globalThis.spanbookMlflow !== undefined")
        yield Twins(page, server)
        page.close()


FILTERS = [
    "",
    " ",
    "metrics.loss > 0.5",
    "metrics.loss >= 0.5 and metrics.acc < 0.5",
    "metrics.loss = 1",
    "metrics.loss != 1",
    "metrics.loss != 0",
    "metrics.loss = 0",
    "metrics.nan <= 0",
    "metrics.`f1 score` > -1",
    'metrics."f1 score" > -1',
    "metric.val/loss > 0",
    "metrics.`val/loss` > 0",
    "metrics.Ünï > 0.1",
    "metrics.loss > 1e-5",
    "metrics.loss > 1e5",
    "metrics.loss > 1E5",
    "metrics.loss > 1e+5",
    "metrics.loss > .5",
    "metrics.loss > 5.",
    "metrics.loss > -.5",
    "metrics.loss > +1",
    "metrics.loss > - 1",
    "metrics.loss > 0x10",
    "metrics.loss > 1_000",
    "metrics.loss > 1.7976931348623157e308",
    "metrics.loss >= 1.7976931348623157e308",
    "metrics.missing > 0",
    "metrics.loss > '1'",
    "metrics.loss > nan",
    "metrics.loss LIKE '1'",
    "metrics.loss IS NULL",
    "metrics.loss <> 1",
    "metrics.loss == 1",
    "metrics.loss>0.5",
    "metrics . loss > 0.5",
    "params.lr = 'a'",
    'params.lr = "a"',
    "params.lr != 'a'",
    "param.lr = 'A'",
    "parameters.lr LIKE 'a%'",
    "params.lr like 'a%'",
    "params.lr ILIKE 'a%'",
    "params.lr LIKE '%_'",
    "params.lr LIKE '_'",
    "params.lr ILIKE 'ü%'",
    "params.lr ILIKE 'Ü%'",
    "params.lr LIKE '100%'",
    "params.lr LIKE '%'",
    "params.lr LIKE ''",
    "params.lr = ''",
    "params.lr = 'it''s'",
    'params.lr = "it\'s"',
    "params.lr = 'say \"x\"'",
    "params.`a b` = 'a'",
    "params.'a b' = 'a'",
    "params.a b = 'a'",
    "params.model.type = 'a'",
    "params.`model.type` = 'a'",
    "params.lr = a",
    "params.lr = 1",
    "params.lr > 'a'",
    "params.lr IN ('a', 'b')",
    "params.lr IS NULL",
    "params.lr IS NOT NULL",
    "params.lr is not null",
    "params.nowhere IS NULL",
    "params.lr NOT LIKE 'a'",
    "params.lr RLIKE 'a'",
    "params.Ünï = '日本'",
    "params.lr = '𝒳'",
    "tags.color = 'a' AND tags.`team/owner` != 'b'",
    "tags.color IS NULL AND params.lr IS NOT NULL",
    "tags.`mlflow.user` = 'a'",
    "tags.mlflow.user = 'a'",
    "tag.mlflow.source.name ILIKE '%A%'",
    "tags.`mlflow.parentRunId` IS NULL",
    "tags.'mlflow.parentRunId' IS NOT NULL",
    "attributes.status = 'FINISHED'",
    "attribute.status != 'FINISHED'",
    "status = 'FAILED'",
    "status IN ('FAILED')",
    "attributes.start_time > 1790000000000",
    "start_time = 1790000000000",
    "attributes.start_time > 1790000000000.5",
    "attributes.start_time > '1'",
    "created >= 1790000000001",
    "attributes.Created < 1790000000001",
    "end_time > 1",
    "attributes.end_time != 1",
    "attributes.end_time LIKE '1'",
    "run_name = 'same name'",
    "attributes.run_name LIKE 'run %'",
    "attributes.`run name` ILIKE 'SAME%'",
    "attributes.`Run Name` != 'same name'",
    "run_name IN ('same name')",
    "user_id = 'ada'",
    "attributes.user_id LIKE 'Ü%'",
    "attributes.artifact_uri LIKE 'mlflow-artifacts%'",
    "attributes.lifecycle_stage = 'active'",
    "attributes.experiment_id = '1'",
    "attributes.nothing = 'x'",
    "nothing.x = 'y'",
    "x = 'y'",
    "run.status = 'FINISHED'",
    "attr.status = 'FINISHED'",
    "datasets.name = 'x'",
    "dataset.digest LIKE 'x'",
    "dataset.name IN ('x')",
    "dataset.size = 'x'",
    "metrics.loss > 0 OR metrics.acc > 0",
    "NOT metrics.loss > 0",
    "metrics.loss > 0 AND",
    "AND",
    "AND metrics.loss > 0",
    "metrics.loss > 0 metrics.acc > 0",
    "metrics.loss > 0 AND AND metrics.acc > 0",
    "metrics.loss > 0, metrics.acc > 0",
    "(metrics.loss > 0)",
    "metrics.loss > (0)",
    "metrics.loss",
    "metrics.loss >",
    "> 1",
    "1 < metrics.loss",
    "metrics.loss > 0;",
    "metrics.loss > 0 -- comment",
    "metrics.loss > 0 /* comment */",
    "metrics.loss > metrics.acc",
    "metrics.loss BETWEEN 0 AND 1",
    "metrics.loss > 0 LIMIT 1",
    "SELECT 1",
    "'",
    "params.lr = 'a",
    "params.lr = `a`",
    "`metrics`.loss > 0",
    '"metrics".loss > 0',
    "METRICS.loss > 0",
    "metrics.LOSS > 0",
    "metrics. > 0",
    ".loss > 0",
    "metrics..loss > 0",
    "metrics.1 > 0",
    "metrics.a-b > 0",
    "metrics.count > 0",
    "params.order = 'x'",
    "tags.user = 'a'",
    "run_id IN ()",
    "run_id IN ('a'",
    "run_id IN 'a'",
    "run_id IN (1, 2)",
    "run_id IN (a)",
    "run_id NOT IN ('a')",
    "run_id LIKE '%a%'",
    "run_id = 'x'",
    "\tmetrics.loss > 0\n",
    "日本",
    "metrics.loss > 0 AND\nparams.lr = 'a'",
    f"run_id IN ('{IDS[0]}', '{IDS[1]}')",
    f"attributes.run_id IN ('{IDS[2]}',)",
    f'run_id IN ("{IDS[0]}")',
    f"run_id NOT IN ('{IDS[0]}', '{IDS[1]}')",
    f"run_id = '{IDS[3]}' AND metrics.loss > -10",
    f"run_id != '{IDS[3]}'",
    f"tags.`mlflow.parentRunId` = '{IDS[0][:32]}'",
    f"tags.mlflow.parentRunId = '{IDS[6][:32]}' AND status != 'X'",
]


def test_filters_take_and_refuse_the_same(twins: Twins) -> None:
    """Every filter finds the same runs in the same order, or is refused with the same code."""
    wrong, found = [], 0
    for text in FILTERS:
        try:
            found += len(twins.search(filter=text))
        except AssertionError as error:
            wrong.append(str(error).split("\n")[0][:700])
    assert not wrong, "\n".join(wrong)
    assert found > 1500  # the filters find something


ORDERS = [
    ["metrics.loss"], ["metrics.loss DESC"], ["metrics.loss ASC", "params.lr DESC"], ["metrics.`f1 score` desc"],
    ["metrics.nan DESC", "metrics.acc"], ["metrics.sparse"], ["metrics.sparse DESC"], ["metrics.missing DESC"],
    ["params.lr"], ["params.lr DESC"], ["params.`a b` ASC"], ["params.missing"], ["tags.color DESC", "tags.`team/owner`"],
    ["attributes.start_time"], ["attributes.start_time DESC"], ["start_time ASC"], ["created DESC"], ["attributes.Created"],
    ["end_time"], ["end_time DESC"], ["attributes.run_name"], ["run_name DESC"], ["status", "user_id DESC"],
    ["attributes.status DESC"], ["run_id"], ["run_id DESC"], ["artifact_uri"], ["attributes.`Run Name`"], ["attributes.nothing"],
    ["metrics.loss", "metrics.loss DESC"], ["start_time", "attributes.created"], ["metrics.loss DOWN"], ["metrics.loss DESC DESC"],
    [" metrics.loss"], ["metrics.loss "], ["metrics.loss  DESC"], ["metrics.a b DESC"], ["metrics.loss, metrics.acc"], [""],
    ["datasets.name"], ["metrics.val/loss"], ["metrics.`val/loss` DESC"], ["metrics.\"f1 score\""], ["metrics.loss DESC NULLS LAST"],
    ["Metrics.loss"], ["params.Ünï DESC"], ["metrics.Ünï"], ["experiment_id"],
]  # fmt: skip


def test_orders_are_the_same(twins: Twins) -> None:
    """Every order_by gives the same order, NaN, missing values and ties included, or the same refusal."""
    wrong = []
    for order_by in ORDERS:
        try:
            twins.search(order_by=order_by)
        except AssertionError as error:
            wrong.append(str(error).split("\nassert")[0][:3000])
    assert not wrong, "\n".join(wrong)


def _random_search(rng: random.Random) -> dict[str, object]:
    def clause() -> str:
        kind = rng.randrange(5)
        word = rng.choice(WORDS).replace("'", "")
        if kind == 0:
            return f"metrics.`{rng.choice(METRICS)}` {rng.choice(['<', '<=', '=', '!=', '>', '>='])} {rng.choice([0, 1, -1, 0.5, 1e300])}"
        if kind == 1:
            return f"params.`{rng.choice(PARAMS)}` {rng.choice(['=', '!=', 'LIKE', 'ILIKE'])} '{rng.choice(['', '%'])}{word}{rng.choice(['', '%', '_'])}'"
        if kind == 2:
            return f"tags.`{rng.choice(TAGS)}` {rng.choice(['=', '!=', 'LIKE', 'ILIKE'])} '{word}'"
        if kind == 3:
            return f"attributes.{rng.choice(['start_time', 'end_time'])} {rng.choice(['<', '>=', '!='])} {START + rng.choice([0, 1, 1000])}"
        return f"{rng.choice(['params', 'tags'])}.`{rng.choice(PARAMS)}` IS {rng.choice(['', 'NOT '])}NULL"

    columns = (
        [f"metrics.`{m}`" for m in METRICS]
        + [f"params.`{p}`" for p in PARAMS]
        + ["start_time", "end_time", "run_name", "status"]
    )
    return {
        "filter": " AND ".join(clause() for _ in range(rng.randrange(3))),
        "order_by": [
            f"{c} {rng.choice(['ASC', 'DESC'])}" for c in rng.sample(columns, rng.randrange(3))
        ],
        "run_view_type": rng.choice(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]),
        "experiment_ids": rng.choice([BOTH, BOTH[:1], BOTH[1:], [], ["999"]]),
        "max_results": rng.choice([1, 5, 100]),
    }


def test_random_searches_are_the_same_page_by_page(twins: Twins) -> None:
    """Random filters, orders, views and page sizes give the same pages and the same tokens."""
    rng = random.Random(7)
    pages = 0
    for _ in range(70):
        request = _random_search(rng)
        for _ in range(4):
            answer = twins.same("POST", SEARCH, request)
            pages += 1
            if not (token := answer.get("next_page_token")):
                break
            request["page_token"] = token
    assert pages > 100


@pytest.mark.parametrize(
    "request_",
    [
        {"max_results": 0}, {"max_results": -1}, {"max_results": 50001}, {"max_results": 50000}, {"page_token": "x"},
        {"page_token": base64.b64encode(b'{"offset": 0}').decode()}, {"page_token": base64.b64encode(b"[]").decode()},
        {"page_token": base64.b64encode(b'{"offset": 100000}').decode()}, {"experiment_ids": ["x"]}, {"experiment_ids": []},
        {"experiment_ids": [""]}, {"run_view_type": "ALL"}, {"run_view_type": "DELETED_ONLY"},
    ],
)  # fmt: skip
def test_paging_and_views(twins: Twins, request_: dict[str, object]) -> None:
    """Limits, tokens, views and experiment ids are taken or refused alike."""
    twins.same("POST", SEARCH, {"experiment_ids": BOTH, **request_})


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
