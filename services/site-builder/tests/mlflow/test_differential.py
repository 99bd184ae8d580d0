"""Rule: the static site searches runs as a real `mlflow server` of the pinned version that holds the same ones.

Each request goes to both, through the page's own fetch here and over HTTP there. Answers must be
the same message for message; refusals must have the same status and error code.
"""

# ruff: noqa: E501, RUF001 - requests and names as they are sent

import base64
import random

import pytest
from differential import BOTH, IDS, SEARCH, Twins
from mlflow_twins import METRICS, PARAMS, START, TAGS, WORDS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
        {"page_token": base64.b64encode(b'{"offset": 0}').decode()},
        {"page_token": base64.b64encode(b'{"offset": 100000}').decode()}, {"experiment_ids": ["x"]}, {"experiment_ids": []},
        {"experiment_ids": [""]}, {"run_view_type": "ALL"}, {"run_view_type": "DELETED_ONLY"},
    ],
)  # fmt: skip
def test_paging_and_views(twins: Twins, request_: dict[str, object]) -> None:
    """Limits, tokens, views and experiment ids are taken or refused alike."""
    twins.same("POST", SEARCH, {"experiment_ids": BOTH, **request_})


def test_a_token_that_fails_the_server_is_refused(twins: Twins) -> None:
    """A list for a token is the one request here by which the server itself fails."""
    request = {"experiment_ids": BOTH, "page_token": base64.b64encode(b"[]").decode()}
    assert twins.real("POST", SEARCH, request)[0] == 500
    status, answer = twins.static("POST", SEARCH, request)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
