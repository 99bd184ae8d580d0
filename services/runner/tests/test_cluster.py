"""Ray as a run starts it: lean, and gone without a trace."""

import os
import subprocess
import sys

import psutil

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


def test_ray_starts_only_what_runs_tasks():
    """No autoscaler, log monitor or API server; at the end no process and no file is left."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env, check=True
    )
    session, *children = done.stdout.splitlines()
    told = "\n".join(children)
    assert "gcs_server" in told
    for part in ("monitor.py", "log_monitor", "dashboard/dashboard.py"):
        assert part not in told
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
