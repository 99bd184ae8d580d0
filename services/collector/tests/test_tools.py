"""The commands on run files, with a real collector at the other end."""

import json
import subprocess
import sys

import pytest
from spanbook_runfile import samples


def _spanbook(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "spanbook_runfile", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _content(path) -> bytes:
    return path.read_bytes().partition(b',"spanbook":')[0]


@pytest.mark.parametrize("name", ["ok", "failed", "retried", "foreign", "empty"])
def test_a_replayed_run_is_sealed_as_it_was(collector, tmp_path, name) -> None:
    """Replayed into a collector a run comes out again, byte for byte but for the seal."""
    running = collector()
    path = tmp_path / "run.json"
    path.write_bytes(samples.sealed(name))
    done = _spanbook("replay", path, "--endpoint", running.http)
    assert (done.returncode, done.stderr) == (0, "")
    run_id = json.loads(path.read_bytes())["spanbook"]["runId"]
    if name == "foreign":  # which declares nothing
        running.give_up()
    running.sealed(run_id)
    assert _content(running.run_file(run_id)) == _content(path)
    assert _spanbook("verify", running.run_file(run_id)).returncode == 0


def test_late_data_is_imported_with_its_run(collector, otlp, tmp_path) -> None:
    """A run file and what came late to it become one run file, elsewhere, with all of both."""
    running = collector()
    run_id, ids = otlp.id(), [otlp.id(8) for _ in range(4)]
    running.export("logs", otlp.logs(run_id, ["a"]))
    metrics = otlp.metrics({"cicd.pipeline.run.id": run_id}, [1, 2])
    running.export("metrics", metrics)
    running.export("traces", otlp.spans(run_id, ids=ids[:2], declared=(2, 1, 2)))
    running.sealed(run_id)
    running.export("traces", otlp.spans(run_id, ids=ids[1:]))  # one of them again
    late = running.outputs / "late" / f"{run_id}.journal"
    assert [entry["run"] for entry in running.health()["late"]] == [run_id]
    sealed = running.run_file(run_id)
    refused = _spanbook("import", sealed, late, "--runs", sealed.parent)
    assert refused.returncode == 1
    assert "never rewritten" in refused.stderr
    done = _spanbook("import", sealed, late, "--runs", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    whole = json.loads((tmp_path / "both" / f"{run_id}.json").read_bytes())
    spans = whole["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert sorted(span["spanId"] for span in spans) == sorted(ids)
    assert whole["spanbook"]["received"] == {"spans": 4, "logRecords": 1, "metricPoints": 2}
    assert whole["spanbook"]["duplicates"] == 1
    alone = _spanbook("import", sealed, "--runs", tmp_path / "alone")
    assert alone.returncode == 0
    assert _content(tmp_path / "alone" / sealed.name) == _content(sealed)
