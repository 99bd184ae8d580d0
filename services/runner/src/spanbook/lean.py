"""Ray on one machine without the parts that a single run has no use for.

``ray.init`` starts an autoscaler monitor, a log monitor, an API server and a dashboard agent even
where nothing scales, no log is read and no dashboard is wanted: most of its start-up's CPU time, and
of its shut-down's wait. Ray has no option to leave them out, so its ``Node`` is told here not to
start them, and the agent, without which the raylet ends, is replaced by ``idle_agent.py``. Where a
later Ray has no such method, it starts what it likes. Measured in ``bench/RESULTS.md``, guarded by
``test_cluster.py``.

Ray also gives up on a machine that needs more than 30 s to start it; here it has longer.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import psutil
from ray._private import ray_constants, services
from ray._private.node import Node

from spanbook import idle_agent

START_SECONDS = 90.0
_PARTS = ("start_monitor", "start_log_monitor", "start_api_server")
_COMMAND = "_build_python_executable_command_memory_profileable"

_get_node: Any = services.get_node
_build_command: Any = getattr(services, _COMMAND, None)


def _patient(*arguments: Any) -> Any:
    """Ask for the new node as Ray does, but for longer than its fixed 30 s: a busy machine is slow.

    Raises:
        RuntimeError: it is not there after :data:`START_SECONDS`, or its process ended: then there
            is nothing to wait for.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _get_node(*arguments)
        except RuntimeError:
            if time.monotonic() > deadline or not _raylet_lives():
                raise
            time.sleep(0.1)


def _raylet_lives() -> bool:
    """Whether a raylet that this process started is still there."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "raylet" in child.name() and child.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _agent_command(component: str, *arguments: Any, **options: Any) -> Any:
    """How to start an agent: ours instead of the dashboard's, whose path and options follow."""
    if component == ray_constants.PROCESS_TYPE_DASHBOARD_AGENT:
        return [sys.executable, "-I", "-S", idle_agent.__file__]
    return _build_command(component, *arguments, **options)


@contextlib.contextmanager
def lean_ray() -> Iterator[None]:
    """Meanwhile ``ray.init`` starts only what runs tasks."""

    def leave_out(node: Any, **_: Any) -> None:
        node._webui_url = None  # what start_api_server would set

    with contextlib.ExitStack() as stack:
        for part in _PARTS:
            if hasattr(Node, part):
                stack.enter_context(mock.patch.object(Node, part, leave_out))
        stack.enter_context(mock.patch.object(services, "get_node", _patient))
        if _build_command is not None:
            stack.enter_context(mock.patch.object(services, _COMMAND, _agent_command))
        yield
