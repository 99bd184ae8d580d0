"""Ray on one machine without the parts that a single run has no use for.

``ray.init`` starts an autoscaler monitor, a log monitor and an API server even where nothing
scales, no log is read and no dashboard is wanted: half of its start-up's CPU time, and most of its
shut-down's wait. Ray has no option to leave them out, so its ``Node`` is told here not to start
them. Where a later Ray has no such method, it starts what it likes. Measured in
``bench/RESULTS.md``, guarded by ``test_cluster.py``.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from ray._private.node import Node

_PARTS = ("start_monitor", "start_log_monitor", "start_api_server")


@contextlib.contextmanager
def lean_ray() -> Iterator[None]:
    """Meanwhile ``ray.init`` starts only what runs tasks."""

    def leave_out(node: Any, **_: Any) -> None:
        node._webui_url = None  # noqa: SLF001: what start_api_server would set

    with contextlib.ExitStack() as stack:
        for part in _PARTS:
            if hasattr(Node, part):
                stack.enter_context(mock.patch.object(Node, part, leave_out))
        yield
