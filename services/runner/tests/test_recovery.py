"""A node of a real Ray cluster dies, and with it the values that were made there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from spanbook_runfile.names import Result
from support.processes import wait_for

LARGE = """
import time
from pathlib import Path
import numpy as np
from spanbook import pipeline, task

@task
def seed() -> bytes:
    return b"x" * 1_000_000

@task
def big(seed: bytes, number: int):
    return np.full(100_000, number, dtype=float)

@task(outputs=2)
def two(seed: bytes):
    return [1] * 300_000, 2

@task(retries=1, backoff=0)
def slow(arrays, ones, two) -> float:
    print("began")
    Path("FOLDER/began").touch()
    while not Path("FOLDER/killed").exists():
        time.sleep(0.05)
    return float(sum(array.sum() for array in arrays)) + sum(ones) + two

@task(cpus=2)
def also(array) -> float:
    print("also", array.sum())

@task
def last(total: float, array) -> float:
    print("total", total, len(array))

@pipeline
def lost():
    root = seed()
    arrays = [big(root, 1), big(root, 2)]
    pair = two(root)
    for _ in range(2):  # these wait for both CPUs of the node that dies
        also(arrays[0])
    last(slow(arrays, *pair), arrays[0])
"""


# In a process of its own: Ray reads these variables once, when it is imported.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
doomed = cluster.add_node(num_cpus=2)
print("address", cluster.address, flush=True)
sys.stdin.readline()
cluster.add_node(num_cpus=2)
cluster.remove_node(doomed, allow_graceful=False)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": os.urandom(16).hex(),
    "RAY_health_check_initial_delay_ms": "500",  # a node's death is soon noticed
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


def told(process: "subprocess.Popen[str]", word: str) -> str:
    """The next line of a process that begins so, without its beginning."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    pytest.fail(f"the cluster ended before it said {word!r}")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[str]"]:
    """A cluster without CPUs on its head; at a line of input its other node is killed and replaced."""
    log = tmp_path_factory.mktemp("cluster") / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            env={**os.environ, **SETTINGS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        yield process
        process.communicate("\n", timeout=60)


def test_a_lost_value_is_made_again(runner, cluster):
    """Whoever made it runs again, as an attempt that says why, and so does what it needs itself."""
    runner.write(LARGE.replace("FOLDER", str(runner.folder)))
    env = {name: SETTINGS[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    process = runner.start("--ray-address", told(cluster, "address "), **env)
    wait_for(
        lambda: process.poll() is not None or (runner.folder / "began").exists(), 120, "the task"
    )
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    told(cluster, "killed")
    (runner.folder / "killed").touch()
    done = runner.finish(process, 180)
    assert done.code == 0, done.out + done.err
    run = done.recorded
    assert run.result is Result.SUCCESS
    assert run.problems == ()
    tries = {task.title: [attempt.result for attempt in task.attempts] for task in run.tasks}
    for waited in ("also #1", "also #2"):
        assert tries.pop(waited) == [Result.SUCCESS]
    twice = [Result.SUCCESS] * 2
    assert tries == {
        "seed": twice,
        "big number=1": twice,
        "big number=2": twice,
        "two": twice,
        "slow": [Result.ERROR, Result.SUCCESS],
        "last": [Result.SUCCESS],
    }
    again = next(task for task in run.tasks if task.name == "two").attempts[1]
    (line,) = again.logs
    assert line.text == (
        "This task runs again: the value that its attempt 1 returned was lost with its machine, and "
        "'slow' needs it."
    )
    assert again.node != run.tasks[0].attempts[0].node
    assert [line.text for line in done.task("last").final.logs] == ["total 600002.0 100000"]
