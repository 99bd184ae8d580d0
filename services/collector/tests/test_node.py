"""Node's OpenTelemetry exporters, unmodified, from npm: JSON, protobuf and gRPC."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node_client(tmp_path_factory) -> Path:
    """The client script with its packages, installed from the lock."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("Node's exporters are not tested: npm is missing (install Node.js 20 or later)")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "client.mjs"):
        shutil.copy(HERE / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"Node's exporters are not tested: npm ci failed: {done.stderr.strip()[-300:]}")
    return folder / "client.mjs"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "protobuf", "grpc"])
def test_an_app_instrumented_with_node(collector, until, node_client, kind) -> None:
    """A Node app's trace is sealed with its log record; its metrics are of its service instance."""
    running = collector()
    endpoint = running.address if kind == "grpc" else running.http
    done = subprocess.run(
        ["node", str(node_client), kind, endpoint],
        cwd=node_client.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run_id = done.stdout.strip()
    running.give_up()
    sealed = running.sealed(run_id)
    spans = {
        s["name"]: s for g in sealed["resourceSpans"] for sc in g["scopeSpans"] for s in sc["spans"]
    }
    assert set(spans) == {"outer", "inner"}
    assert spans["inner"]["parentSpanId"] == spans["outer"]["spanId"]
    attrs = {a["key"]: a["value"] for a in spans["outer"]["attributes"]}
    assert attrs == {"n": {"intValue": "7"}, "ok": {"boolValue": True}, "f": {"doubleValue": 0.5}}
    (record,) = sealed["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record["body"] == {"stringValue": "a line"}
    assert record["spanId"] == spans["outer"]["spanId"]
    until(lambda: len(list(running.outputs.glob("runs/*.json"))) == 2, 20)
    (other,) = (p for p in running.outputs.glob("runs/*.json") if p.stem != run_id)
    (metric,) = json.loads(other.read_bytes())["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert metric["name"] == "orders"
    assert metric["sum"]["dataPoints"][0]["attributes"][0]["value"] == {"stringValue": "book"}
