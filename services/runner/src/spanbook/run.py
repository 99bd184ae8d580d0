"""One run, from the pipeline's DAG to the last acknowledged record."""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from spanbook_runfile.names import Result

from spanbook.cluster import Cluster, cluster
from spanbook.context import describe_run
from spanbook.dag import Graph
from spanbook.dispatch import Dispatcher
from spanbook.errors import PipelineError
from spanbook.export import exporter
from spanbook.finding import Found
from spanbook.ids import new_run_id
from spanbook.interrupts import Interrupts, interrupts
from spanbook.masking import Masker
from spanbook.recorder import Recorder
from spanbook.rerun import Part
from spanbook.schedule import Schedule
from spanbook.settings import Settings
from spanbook.spool import Spool
from spanbook.state import Listener, State
from spanbook.tracking import reachable, tracking_uri
from spanbook.warm import kernel_host


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended; ``spool`` is set where the collector did not take all of it."""

    run_id: str
    result: Result
    states: list[State]
    spool: Path | None = None
    refused: str = ""

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.result is Result.SUCCESS


class View(Listener, Protocol):
    """What the user sees of a run."""

    def run_started(self, run_id: str, graph: Graph) -> None:
        """The run begins."""

    def trouble(self, message: str | None) -> None:
        """Something that the user should know while the run goes on; None: it is over."""

    def flushing(self) -> None:
        """All tasks are over; the last records are being sent."""


def execute(
    found: Found,
    graph: Graph,
    parameters: Mapping[str, Any],
    settings: Settings,
    view: View,
    run_id: str = "",
    part: Part | None = None,
    stop: Interrupts | None = None,
) -> Finished:
    """Run a graph and record it; ``stop`` may know of Ctrl-C already.

    Raises:
        UsageError: Ray cannot be started or reached, or a task can never run there.
        SpoolError: the records cannot be written to disk.
    """
    run_id = run_id or new_run_id()
    start = time.time_ns()
    masker = Masker.of_environ()
    with contextlib.ExitStack() as stack:
        stop = stop or stack.enter_context(interrupts())
        stack.enter_context(_warm_kernels(graph, settings))
        where = stack.enter_context(cluster(settings, found.root))
        elsewhere = "" if where.local else where.host
        mlflow = stack.enter_context(reachable(tracking_uri(os.environ), elsewhere, run_id))
        _check_cpus(graph, where)
        sender = (
            exporter()
        )  # not before: a process that forks with gRPC open, as Ray's start does, may abort
        spool = Spool(settings.outputs / "spool", run_id, sender, view.trouble)
        resource = describe_run(run_id, graph.name, found.folder)
        recorder = Recorder(run_id, graph.name, resource, spool, masker)
        stop.hold()
        recorder.start(start, parameters)
        view.run_started(run_id, graph)
        make = partial(
            Dispatcher,
            recorder,
            host=where.host,
            cpus=where.cpus,
            limits=settings.limits,
            mlflow=mlflow,
        )
        schedule = Schedule(graph, recorder, view, make, part)
        stop.hand_to(schedule.cancel)
        result = schedule.run()
        recorder.end(
            start=start,
            end=time.time_ns(),
            attrs={"cicd.pipeline.result": result},
            error=_error(schedule, result),
        )
        schedule.dispatcher.close()
        view.flushing()
    delivered = spool.finish(settings.export_wait, lambda: bool(stop.reason))
    return Finished(
        run_id,
        result,
        list(schedule.states.values()),
        None if delivered else spool.path,
        "; ".join(dict.fromkeys(spool.refused)),
    )


def _warm_kernels(graph: Graph, settings: Settings) -> contextlib.AbstractContextManager[None]:
    """Kernels for the graph's notebooks get ready while Ray starts."""
    texts = {t.task.notebook.text for t in graph.tasks if t.task.notebook is not None}
    return kernel_host(() if settings.ray_address else texts)


def _error(schedule: Schedule, result: Result) -> str | None:
    if result is Result.SUCCESS:
        return None
    if schedule.cancelled:
        return schedule.cancelled
    bad = [s for s in schedule.states.values() if s.result is result and s.message]
    first = f"{bad[0].node.title}: {bad[0].message}" if bad else str(result)
    return first if len(bad) < 2 else f"{first} (and {len(bad) - 1} more)"


def _check_cpus(graph: Graph, where: Cluster) -> None:
    for node in graph.tasks:
        if where.local and node.task.policy.cpus > where.cpus:
            raise PipelineError(
                f"Task {node.task.name!r} asks for {node.task.policy.cpus:g} CPUs, but this machine "
                f"has {where.cpus:g} for tasks: it would wait for ever. Lower cpus=, or raise "
                "SPANBOOK_CPUS."
            )
