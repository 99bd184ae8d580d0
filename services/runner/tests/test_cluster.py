"""Ray as a run starts it: lean, and gone without a trace."""

import os
import subprocess
import sys
import time

import psutil
from spanbook import idle_agent

SCRIPT = """
import os
from pathlib import Path
from spanbook.run_command import _prepare_ray
_prepare_ray("")
from spanbook.cluster import cluster
from spanbook.settings import Settings
import ray, psutil

@ray.remote
def work():
    return os.getpid()

with cluster(Settings(cpus=2), Path.cwd()) as where:
    assert ray.get(work.remote()) != os.getpid()
    assert (where.cpus, where.local) == (2, True)
    print(ray._private.worker._global_node.get_session_dir_path())
    for child in psutil.Process().children(recursive=True):
        print(child.pid, " ".join(child.cmdline()))
"""


ORDER = """
import sys
from spanbook import cli, run

def exporter(make=run.exporter):
    import ray
    print("Ray is up:", ray.is_initialized())
    return make()

run.exporter = exporter
sys.exit(cli.main(["run", "pipeline.py"]))
"""


def test_grpc_is_not_open_while_ray_forks(runner):
    """A child of a process with gRPC channels may abort before it is Ray's server: a start of 30 s more."""
    runner.write("""
        from spanbook import pipeline, task

        @task
        def one(): ...

        @pipeline
        def small(): one()
    """)
    done = subprocess.run(
        [sys.executable, "-c", ORDER],
        cwd=runner.folder,
        env=runner.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ray is up: True" in done.stdout


def test_ray_starts_only_what_runs_tasks():
    """No autoscaler, log monitor, API server or dashboard agent; at the end nothing is left of it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env, check=True
    )
    session, *children = done.stdout.splitlines()
    told = "\n".join(children)
    assert "gcs_server" in told
    for part in ("monitor.py", "log_monitor", "dashboard/dashboard.py", "DashboardAgent"):
        assert part not in told
    assert "idle_agent.py" in told
    assert not os.path.exists(session)  # noqa: PTH110
    assert done.stderr == ""
    _, alive = psutil.wait_procs(
        [
            psutil.Process(pid)
            for pid in map(int, (c.split()[0] for c in children))
            if psutil.pid_exists(pid)
        ],
        timeout=10,
    )
    assert alive == []


def test_two_rays_start_at_once():
    """Ray's own agent insists on one port of the machine, and waits for it; a run's Ray does not."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    both = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, env=env)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=240)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("idle_agent.py" in text for text in told)


def test_the_raylet_waits_for_its_slow_agent(tmp_path):
    """The idle agent declares its ports when the other agent has: until then the raylet waits for it."""
    (tmp_path / "with=equals").mkdir()
    session = tmp_path / "with=equals"
    agent = subprocess.Popen(
        [sys.executable, "-I", "-S", idle_agent.__file__, "agent.py", f"--session-dir={session}"],
        stdin=subprocess.PIPE,
        env={"RAY_NODE_ID": "abc"},
    )
    time.sleep(1)
    assert list(session.iterdir()) == []
    other = session / "runtime_env_agent_port_abc"
    other.write_text("12345")
    declared = [session / f"{name}_abc" for name in idle_agent.PORTS]
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in declared):
        assert time.monotonic() < deadline
        assert agent.poll() is None
        time.sleep(0.02)
    assert [path.read_text() for path in declared] == ["-1"] * 3
    assert sorted(session.iterdir()) == sorted([other, *declared])
    agent.communicate(timeout=60)  # the raylet is gone
    assert agent.returncode == 0
