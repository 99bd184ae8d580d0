"""MLflow's REST API by plain requests: what is acknowledged stays, what is wrong is refused."""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from mlflow_rest import Api, Attempt
from spanbook_collector.receivers.mlflow import table
from spanbook_runfile import read_run

MIB = 1 << 20
LOG_PARAM = "/api/2.0/mlflow/runs/log-parameter"
LOG_METRIC = "/api/2.0/mlflow/runs/log-metric"
LOG_BATCH = "/api/2.0/mlflow/runs/log-batch"
SET_TAG = "/api/2.0/mlflow/runs/set-tag"
INVALID = (400, "INVALID_PARAMETER_VALUE")


@pytest.fixture(scope="module")
def shared(module_collector) -> Attempt:
    """An attempt that nothing is ever kept of: for requests that are refused."""
    return Attempt(module_collector).begin()


def _artifact(attempt: Attempt, path: str) -> str:
    return f"/api/2.0/mlflow-artifacts/artifacts/0/{attempt.id}/artifacts/{path}"


def test_killed_and_started_again_it_knows_all(attempt: Attempt, collector) -> None:
    """After kill -9 all that was acknowledged is read back, and a changed parameter still refused."""
    api = Api(attempt.uri)
    api.post("runs/log-parameter", run_id=attempt.id, key="a", value="1")
    for step in range(20):
        api.post("runs/log-metric", run_id=attempt.id, key="m", value=step, timestamp=5, step=step)
    status, _ = api("PUT", _artifact(attempt, "f/x.bin"), b"y" * (5 * MIB))
    assert status == 200
    child = api.post("runs/create", experiment_id="0", run_name="kid")["run"]["info"]["run_id"]
    outputs = attempt.collector.outputs
    attempt.collector.kill()
    attempt.collector = collector("--grace=60", outputs=outputs)
    api = Api(attempt.uri)
    run = api.get(f"runs/get?run_id={attempt.id}")["run"]
    assert {"key": "a", "value": "1"} in run["data"]["params"]
    history = api.get(f"metrics/get-history?run_id={attempt.id}&metric_key=m")["metrics"]
    assert [point["value"] for point in history] == list(range(20))
    assert api("GET", _artifact(attempt, "f/x.bin")) == (200, b"y" * (5 * MIB))
    assert api.get(f"runs/get?run_id={child}")["run"]["info"]["run_name"] == "kid"
    body = {"run_id": attempt.id, "key": "a", "value": "2"}
    assert api.refused("POST", LOG_PARAM, body)[:2] == INVALID
    attempt.end(3)
    final = attempt.sealed().tasks[0].attempts[0]
    assert final.parameters == {"a": "1"}
    assert final.artifacts[0].intact


def test_records_by_mlflow_do_not_make_up_for_the_runners(attempt: Attempt, until) -> None:
    """A run is complete with all that its runner declared, whatever MLflow logged beside it."""
    api = Api(attempt.uri)
    for number in range(10):
        api.post("runs/log-parameter", run_id=attempt.id, key=f"k{number}", value="v")
    attempt.end(4)
    api.post("runs/set-tag", run_id=attempt.id, key="still", value="open")
    assert not attempt.collector.run_file(attempt.run).exists()
    attempt.log("the fourth")
    run = attempt.sealed()
    assert run.seal is not None
    assert run.seal.reason == "complete"
    assert len(run.tasks[0].attempts[0].parameters) == 10
    assert [line.text for line in run.tasks[0].attempts[0].logs] == ["a line"]


def test_a_sealed_run_is_read_and_not_changed(attempt: Attempt) -> None:
    """Once sealed, a run is read from its file; writes are refused, with MLflow's error."""
    api = Api(attempt.uri)
    api.post("runs/log-metric", run_id=attempt.id, key="m", value=1.5, timestamp=1, step=0)
    api("PUT", _artifact(attempt, "a.txt"), b"text")
    attempt.end(3)
    attempt.sealed()
    run = api.get(f"runs/get?run_id={attempt.id}")["run"]
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["metrics"][0]["value"] == 1.5
    assert api("GET", _artifact(attempt, "a.txt")) == (200, b"text")
    body = {"run_id": attempt.id, "key": "k", "value": "v"}
    status, code, message = api.refused("POST", SET_TAG, body)
    assert (status, code) == (400, "INVALID_STATE")
    assert "sealed" in message
    assert api.refused("PUT", _artifact(attempt, "late.txt"), b"x")[1] == "INVALID_STATE"


def test_another_runs_id(attempt: Attempt) -> None:
    """A task reads other runs, and writes to its own only; who asks for no run's id is told so."""
    other = Attempt(attempt.collector).begin()
    api = Api(attempt.uri)
    assert api.get(f"runs/get?run_id={other.id}")["run"]["info"]["run_id"] == other.id
    body = {"run_id": other.id, "key": "k", "value": "v"}
    assert api.refused("POST", SET_TAG, body)[:2] == (403, "PERMISSION_DENIED")
    assert api.refused("PUT", _artifact(other, "x.txt"), b"x")[1] == "PERMISSION_DENIED"
    for unknown in ("nope", "0" * 48, attempt.run + "f" * 16, "x" * 10_000):
        body = {"run_id": unknown, "key": "k", "value": "v"}
        status, code, message = api.refused("POST", SET_TAG, body)
        assert (status, code) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert len(message) < 500


def test_many_at_once(attempt: Attempt) -> None:
    """Of clients that set one parameter at once one wins, and no metric is lost or doubled."""
    api = Api(attempt.uri)

    def one(number: int) -> int:
        body = {"run_id": attempt.id, "key": "m", "value": number, "timestamp": 1, "step": number}
        for _ in range(2):  # as one whose answer was lost
            assert api("POST", LOG_METRIC, body)[0] == 200
        body = {"run_id": attempt.id, "key": "p", "value": str(number)}
        return api("POST", LOG_PARAM, body)[0]

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(96)))
    assert sorted(statuses) == [200] + [400] * 95
    history = api.get(f"metrics/get-history?run_id={attempt.id}&metric_key=m")["metrics"]
    assert sorted(point["value"] for point in history) == list(range(96))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (LOG_PARAM, {"key": "k" * 251, "value": "v"}),
        (LOG_PARAM, {"key": "k" * (10 * MIB), "value": "v"}),
        (LOG_PARAM, {"key": "../up", "value": "v"}),
        (LOG_PARAM, {"key": "a//b", "value": "v"}),
        (LOG_PARAM, {"key": "tab\t", "value": "v"}),
        (LOG_PARAM, {"key": "", "value": "v"}),
        (LOG_PARAM, {"key": 7, "value": "v"}),
        (LOG_PARAM, {"value": "v"}),
        (LOG_PARAM, {"key": "k", "value": {"a": 1}}),
        (LOG_METRIC, {"key": "m"}),
        (LOG_METRIC, {"key": "m", "value": "much", "timestamp": 1}),
        (LOG_METRIC, {"key": "m", "value": True, "timestamp": 1}),
        (LOG_METRIC, {"key": "m", "value": 1}),
        (LOG_METRIC, {"key": "m", "value": 1, "timestamp": -1}),
        (LOG_METRIC, {"key": "m", "value": 1, "timestamp": 1 << 80}),
        (LOG_METRIC, {"key": "m", "value": 1, "timestamp": 1, "step": "x"}),
        (LOG_BATCH, {"metrics": [{"key": "m", "value": 1, "timestamp": 1}] * 1001}),
        (LOG_BATCH, {"params": [{"key": f"k{n}", "value": "v"} for n in range(101)]}),
        (LOG_BATCH, {"tags": [{"key": f"k{n}", "value": "v"} for n in range(101)]}),
        (LOG_BATCH, {"params": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}),
        (LOG_BATCH, {"params": "none"}),
        (LOG_BATCH, {"metrics": [7]}),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else None,
)
def test_what_mlflow_refuses_is_refused(shared: Attempt, path: str, body: dict) -> None:
    """Names, values and batches beyond MLflow's limits are refused as its server does; nothing is kept."""
    api = Api(shared.uri)
    status, code, message = api.refused("POST", path, {"run_id": shared.id, **body})
    assert (status, code) == INVALID
    assert len(message) < 3000
    data = api.get(f"runs/get?run_id={shared.id}")["run"]["data"]
    assert data["params"] == data["metrics"] == []


def test_long_values_are_cut_as_by_mlflows_server(attempt: Attempt) -> None:
    """Values beyond the limits are taken, cut to 6,000 and 8,000 characters."""
    api = Api(attempt.uri)
    api.post("runs/log-parameter", run_id=attempt.id, key="p", value="v" * 6001)
    api.post("runs/set-tag", run_id=attempt.id, key="t", value="ü" * 9000)
    data = api.get(f"runs/get?run_id={attempt.id}")["run"]["data"]
    assert data["params"] == [{"key": "p", "value": "v" * 6000}]
    assert {"key": "t", "value": "ü" * 8000} in data["tags"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"7", b"null"], ids=lambda b: b[:4]
)
def test_malformed_bodies(shared: Attempt, body: bytes) -> None:
    """A body that is no JSON object is refused in MLflow's form."""
    assert Api(shared.uri).refused("POST", LOG_PARAM, body)[:2] == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "%2e%2e/x", "a/%2e%2e%2f%2e%2e/x", "/etc/passwd", "a//b", "a%5c..%5cb",
     "%00", "%252e%252e/x", "C:/x", "~root/x", "n" * 1001],
)  # fmt: skip
def test_path_tricks(shared: Attempt, path: str) -> None:
    """A name that leads out of a run's folder is refused, for writing, reading and listing."""
    api = Api(shared.uri)
    refusals = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"}
    assert api.refused("PUT", _artifact(shared, path), b"x")[1] in refusals
    assert api.refused("GET", _artifact(shared, path))[1] in refusals
    assert api.refused("GET", f"/get-artifact?run_id={shared.id}&path={path}")[1] in refusals
    listed = api.get(f"artifacts/list?run_id={shared.id}")["files"]
    assert listed == []


def test_files_are_handed_over_as_files(attempt: Attempt) -> None:
    """A page of script among the artifacts does not run in the collector's origin."""
    import urllib.request

    api = Api(attempt.uri)
    api("PUT", _artifact(attempt, "page.html"), b"<script>alert(1)</script>")
    with urllib.request.urlopen(attempt.uri + _artifact(attempt, "page.html")) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_over_the_limit(collector) -> None:
    """A file over the limit is refused, and the message says which setting to change."""
    attempt = Attempt(collector("--max-file-bytes=1M")).begin()
    api = Api(attempt.uri)
    _, code, message = api.refused("PUT", _artifact(attempt, "big"), b"x" * (MIB + 1))
    assert code == "INVALID_PARAMETER_VALUE"
    assert "SPANBOOK_MAX_FILE_BYTES" in message


def test_what_is_not_kept_says_so(shared: Attempt) -> None:
    """The model registry, and addresses that nobody has, are refused in MLflow's form."""
    api = Api(shared.uri)
    made = api.refused("POST", "/api/2.0/mlflow/registered-models/create", {"name": "m"})
    assert made[:2] == (501, "NOT_IMPLEMENTED")
    assert "not kept here" in made[2]
    assert api.refused("GET", "/api/2.0/mlflow/nothing")[1] == "ENDPOINT_NOT_FOUND"
    deleted = api.refused("DELETE", _artifact(shared, "x"))
    assert deleted[:2] == (501, "NOT_IMPLEMENTED")


def test_pages(attempt: Attempt) -> None:
    """Histories and searches come page by page, each item once; a token of others is refused."""
    api = Api(attempt.uri)
    points = [{"key": "m", "value": n, "timestamp": n + 1, "step": n} for n in range(25)]
    api.post("runs/log-batch", run_id=attempt.id, metrics=points)
    asked = f"metrics/get-history?run_id={attempt.id}&metric_key=m&max_results=10"
    found, token = [], ""
    while True:
        answer = api.get(asked + (f"&page_token={token}" if token else ""))
        found += [point["step"] for point in answer["metrics"]]
        token = answer.get("next_page_token")
        if not token:
            break
    assert found == list(range(25))
    refused = api.refused("GET", f"/api/2.0/mlflow/{asked}&page_token=bm8=")
    assert refused[:2] == INVALID


def test_a_quiet_run_outside_a_pipeline_waits_by_its_own_limit(collector, until) -> None:
    """The idle limit of other runs does not end it; its own does, and the run then is interrupted."""
    running = collector("--idle=0.3", "--mlflow-idle=2")
    api = Api(f"{running.http}/mlflow")
    run_id = api.post("runs/create", experiment_id="0", start_time=1)["run"]["info"]["run_id"]
    other = Attempt(running).begin()
    other.sealed()
    api.post("runs/log-parameter", run_id=run_id, key="k", value="v")
    sealed = running.sealed(run_id[:32])
    assert sealed["spanbook"]["reason"] == "idle"


ODD = [
    None, True, 7, -1, 1 << 70, 1.5, "", "x", "0", [], [1], ["a"], {}, {"key": "a"}, [{"key": "k", "value": "v"}],
    [{"key": "m", "value": 1, "timestamp": 1}], {"trace_info": {"trace_id": "tr-1"}}, [None], "a" * 300, "\ud800",
    "é\0", [{"dataset": {"name": "d", "digest": "e"}, "tags": [{"key": "a"}]}],
    '{"flavors": 1, "artifact_path": 1, "utc_time_created": 1, "run_id": 1}',
]  # fmt: skip
FIELDS = [
    "key",
    "value",
    "timestamp",
    "step",
    "metrics",
    "params",
    "tags",
    "experiment_id",
    "experiment_ids",
    "filter",
    "order_by",
    "max_results",
    "page_token",
    "name",
    "new_name",
    "experiment_name",
    "status",
    "end_time",
    "start_time",
    "run_name",
    "user_id",
    "path",
    "metric_key",
    "datasets",
    "models",
    "model_id",
    "source_run_id",
    "model_json",
    "trace",
    "locations",
    "timestamp_ms",
    "request_metadata",
    "view_type",
    "run_view_type",
]


def test_whatever_comes_is_answered_in_form(module_collector) -> None:
    """No body, however odd, is answered by anything but MLflow's JSON, and none by a fault of ours."""
    attempt = Attempt(module_collector).begin()
    api, rng = Api(attempt.uri), random.Random(3)
    model = f"m-{attempt.id}00000000"
    for route in table.ROUTES:
        if not route.path.startswith("/api/"):
            continue
        for _ in range(8):
            path = re.sub(
                r"\{[^}]*\}", lambda _: rng.choice(["x", "tr-1", model, "a%2Fb"]), route.path
            )
            body = {name: rng.choice(ODD) for name in rng.sample(FIELDS, rng.randint(0, 8))}
            body["run_id"] = rng.choice([attempt.id, *ODD])
            method = "POST" if route.method == "*" else route.method
            if method == "GET":
                texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items()}
                path += f"?{urlencode(texts, errors='replace')}"
            status, answer = api(method, path, None if method == "GET" else body)
            told = f"{method} {path} {body}: {status} {answer}"
            assert status in (200, 400, 403, 404, 501), told
            assert status == 200 or set(answer) == {"error_code", "message"}, told
    assert module_collector.health()["status"] == "ok"


def test_a_run_of_its_own_outlives_its_collector(collector) -> None:
    """Killed between a script's end and the seal, a collector's successor seals the run, once its children ended."""
    running = collector("--mlflow-linger=0.5")
    api = Api(running.http)
    run_id = api.post("runs/create", experiment_id="0", run_name="k")["run"]["info"]["run_id"]
    tags = [{"key": "mlflow.parentRunId", "value": run_id}]
    child = api.post("runs/create", experiment_id="0", tags=tags)["run"]["info"]["run_id"]
    api.post("runs/update", run_id=run_id, status="FINISHED")
    running.kill()
    running = collector("--mlflow-linger=0.5", outputs=running.outputs)
    api = Api(running.http)
    api.post("runs/log-parameter", run_id=child, key="a", value="b")
    assert not running.run_file(run_id[:32]).exists()
    api.post("runs/update", run_id=child, status="FAILED")
    assert running.sealed(run_id[:32])["spanbook"]["reason"] == "complete"
    assert api.get(f"runs/get?run_id={child}")["run"]["info"]["status"] == "FAILED"


def test_a_parent_that_nobody_knows_is_a_tag(module_collector) -> None:
    """Any text can stand for a parent's id; the run is one of its own, with that tag."""
    api = Api(f"{module_collector.http}/mlflow")
    tags = [{"key": "mlflow.parentRunId", "value": "7"}]
    made = api.post("runs/create", experiment_id="0", tags=tags)["run"]
    read = api.get(f"runs/get?run_id={made['info']['run_id']}")["run"]
    assert {tag["key"]: tag["value"] for tag in read["data"]["tags"]}["mlflow.parentRunId"] == "7"


def test_experiments_come_newest_first(module_collector) -> None:
    """Unless told otherwise a search has the experiments by creation, whatever was changed since."""
    api = Api(f"{module_collector.http}/mlflow")
    made = [api.post("experiments/create", name=f"order {n}")["experiment_id"] for n in range(3)]
    api.post("experiments/set-experiment-tag", experiment_id=made[0], key="k", value="v")
    found = api.post("experiments/search", filter="name LIKE 'order %'")["experiments"]
    created = [entry["creation_time"] for entry in found]
    assert created == sorted(created, reverse=True)
    assert {entry["experiment_id"] for entry in found} == set(made)
    assert found[-1]["experiment_id"] == made[0] or len(set(created)) < 3


def test_a_deleted_run_stays_deleted_once_it_is_sealed(collector) -> None:
    """A search for active runs does not find it, before and after; its run file says so."""
    running = collector("--mlflow-linger=0.1")
    api = Api(f"{running.http}/mlflow")
    home = api.post("experiments/create", name="Digits")["experiment_id"]
    run = api.post("runs/create", experiment_id=home)["run"]["info"]["run_id"]
    api.post("runs/update", run_id=run, status="FINISHED")
    api.post("runs/delete", run_id=run)

    def found(stage: str) -> list[str]:
        body = {"experiment_ids": [home], "run_view_type": stage}
        return [each["info"]["run_id"] for each in api.post("runs/search", **body).get("runs", [])]

    assert (found("ACTIVE_ONLY"), found("DELETED_ONLY")) == ([], [run])
    running.sealed(run[:32])
    assert (found("ACTIVE_ONLY"), found("DELETED_ONLY")) == ([], [run])
    assert read_run(running.run_file(run[:32])).tasks[0].attempts[0].deleted
