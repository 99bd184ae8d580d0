"""Ending an attempt for good: its worker process and everything that it started."""

import contextlib
import signal
from collections.abc import Iterable
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from spanbook.worker import MARKER


def kill_tree(pid: int | None, span_id: str) -> int:
    """Kill a worker of this machine, its descendants, and what else bears the attempt's mark.

    Descendants whose parents ended are found by the mark in their environment. Returns how many
    processes were killed.
    """
    doomed: dict[int, psutil.Process] = {}
    if pid is not None:
        with contextlib.suppress(psutil.Error):
            worker = psutil.Process(pid)
            worker.suspend()  # so that it starts nothing more
            doomed = {child.pid: child for child in worker.children(recursive=True)}
            doomed[pid] = worker
            _kill(doomed.values())  # before the search, which takes a while on a busy machine
    strays: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in doomed and process.environ().get(MARKER) == span_id:
                strays[process.pid] = process
                strays.update({c.pid: c for c in process.children(recursive=True)})
    _kill(strays.values())
    return len(doomed | strays)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


@ray.remote(num_cpus=0)
class _Warden:
    """Kills on another node: an actor there that waits to be asked."""

    def ready(self) -> bool:
        return True

    def kill(self, pid: int | None, span_id: str) -> int:
        return kill_tree(pid, span_id)


class Killer:
    """Kills attempts on whatever node they run.

    Args:
        home: The driver's own Ray node; there no detour is needed.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._wardens: dict[str, Any] = {}

    def watch(self, node: str) -> None:
        """Have a warden ready on a node where a kill may be needed soon."""
        if node != self._home and node not in self._wardens:
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
            warden: Any = _Warden
            self._wardens[node] = warden.options(scheduling_strategy=strategy).remote()

    def kill(self, node: str, pid: int | None, span_id: str) -> None:
        """Kill an attempt's processes; on another node this does not wait."""
        if node == self._home:
            kill_tree(pid, span_id)
            return
        self.watch(node)
        self._wardens[node].kill.remote(pid, span_id)
