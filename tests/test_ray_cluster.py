"""A Ray cluster of containers: tasks spread over its nodes, and outlive one of them."""

import subprocess
from collections.abc import Iterator

import pytest
from spanbook_runfile import Run, read_run
from spanbook_runfile.names import Result
from support.compose import Compose, project
from support.processes import Program, wait_for
from support.stack import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TASKS = 4
PIPELINE = """
import platform, time
from helper import double
from spanbook import pipeline, task

@task(retries=2, backoff=0)
def work(number: int, told: str) -> int:
    print("began", number, "with", told)
    time.sleep(15)
    return double(number)

@task(cpus=0)
def gather(values: list[int]) -> int:
    print("sum", sum(values))
    return sum(values)

@pipeline
def spread(told: str):
    gather([work(number, told) for number in range(%d)])
"""
ALIVE = (
    "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
)
SECRET = "hunter2-of-the-driver"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A collector, a head and two workers; no disk is shared between them."""
    with project(tmp_path_factory.mktemp("cluster"), "cluster") as made:
        made.call("build", "collector", "runner", seconds=900)
        made.call("up", "--detach", "--wait", "collector", "ray-head")
        made.call("up", "--detach", "--no-recreate", "--scale", "ray-worker=2", "ray-worker")
        yield made


def on_head(cluster: Compose, *command: str, given: str = "") -> str:
    """Run a command in the head's container."""
    return cluster.call("exec", "-T", "ray-head", *command, given=given)


def began(cluster: Compose) -> bool:
    """Whether every task has printed its first line."""
    journals = b"".join(path.read_bytes() for path in cluster.stack.outputs.glob("journals/*"))
    return all(b"began %d" % number in journals for number in range(TASKS))


def test_a_node_that_dies_costs_a_retry(cluster: Compose) -> None:
    """Its attempts are errors, their retries succeed elsewhere, and the run ends well."""
    on_head(cluster, "mkdir", "/tmp/spread")
    on_head(cluster, "tee", "/tmp/spread/pipeline.py", given=PIPELINE % TASKS)
    helper = "def double(number):\n    return 2 * number\n"
    on_head(cluster, "tee", "/tmp/spread/helper.py", given=helper)
    wait_for(lambda: on_head(cluster, "python", "-c", ALIVE).split()[-1] == "3", 120, "the nodes")
    command = ["exec", "-T", "-e", f"MY_TOKEN={SECRET}", "ray-head", "spanbook", "run"]
    command += ["/tmp/spread", "--param", f"told={SECRET}"]
    with Program([*cluster.command, *command], cluster.env, ROOT) as program:

        def working() -> bool:
            assert program.process.poll() is None, program.output
            return began(cluster)

        wait_for(working, 240, "all tasks at work")
        doomed = cluster.call("ps", "--quiet", "ray-worker").split()[0]
        subprocess.run(["docker", "kill", doomed], check=True, capture_output=True)
        assert program.wait(240) == 0, program.output
    (file,) = wait_for(cluster.stack.run_files, 30, "the seal")
    assert SECRET.encode() not in file.read_bytes()  # though the workers' own environment lacks it
    run = read_run(file)
    assert run.result is Result.SUCCESS
    assert run.seal is not None
    assert run.seal.complete
    check_attempts(run, doomed[:12])


def check_attempts(run: Run, doomed: str) -> None:
    """Which node ran an attempt is recorded; what the dead one ran was tried again on another."""
    tasks = [task for task in run.tasks if task.name == "work"]
    assert len(tasks) == TASKS
    hosts = {attempt.host for task in tasks for attempt in task.attempts}
    assert len(hosts) == 2
    assert doomed in hosts
    lost = [task for task in tasks if task.attempts[0].result is not Result.SUCCESS]
    assert lost
    for task in tasks:
        assert len(task.attempts) == (2 if task in lost else 1)
        assert task.final.result is Result.SUCCESS
        assert task.final.node
    for task in lost:
        assert task.attempts[0].result is Result.ERROR
        assert task.attempts[0].error_type in ("NodeDied", "WorkerDied")
        assert task.attempts[0].host == doomed
        assert task.final.host != doomed
        assert task.attempts[0].node != task.final.node
    (gather,) = [task for task in run.tasks if task.name == "gather"]
    assert [line.text for line in gather.final.logs] == ["sum 12"]
