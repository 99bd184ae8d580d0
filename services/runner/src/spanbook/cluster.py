"""Ray: one started here for this run, or a cluster by its address."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import ray
from ray._private import utils
from ray._private import worker as ray_worker

from spanbook.errors import ServiceError, UsageError
from spanbook.lean import lean_ray
from spanbook.scratch import Scratch, sweep
from spanbook.settings import Settings

_RAY: Any = ray  # half of it is without types


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the tasks of a run go."""

    host: str  # an address of the driver that the workers reach
    cpus: float
    local: bool


@contextlib.contextmanager
def cluster(settings: Settings, root: Path) -> Iterator[Cluster]:
    """Start Ray on this machine, or connect to the cluster that the settings name; end it after.

    Workers of a cluster get the files in ``root`` from Ray: no disk need be shared.

    Raises:
        UsageError: there is no cluster at that address, or it does not let us in.
    """
    with _quiet(), contextlib.ExitStack() as stack:
        if settings.ray_address:
            _connect(settings.ray_address, root)
            stack.callback(ray.shutdown)
            yield Cluster(str(_RAY.util.get_node_ip_address()), _cpus(), local=False)
            return
        sweep()
        scratch = _start(settings)
        stack.callback(scratch.close)
        stack.push(lambda kind, *_: _end(scratch) if kind else ray.shutdown())
        yield Cluster("127.0.0.1", _cpus(), local=True)


def _say_nothing(*_: object, **__: object) -> None:
    """Instead of Ray's own functions."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray from printing what the run tells in its own words, and from taking SIGTERM for itself."""
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    with contextlib.ExitStack() as stack:
        for owner, name in ((ray_worker, "print_to_stdstream"), (utils, "set_sigterm_handler")):
            if hasattr(owner, name):
                stack.enter_context(mock.patch.object(owner, name, _say_nothing))
        yield


def _start(settings: Settings) -> Scratch:
    for attempt in (1, 2, 3):  # on a machine that is very busy Ray's own time limits may pass
        scratch = Scratch()
        try:
            with lean_ray():
                ray.init(
                    address="local",
                    num_cpus=settings.cpus or None,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=str(scratch.path),
                )
        except Exception as error:
            _end(scratch)
            scratch.close()
            if attempt == 3:
                raise ServiceError(f"Ray does not start on this machine: {error}") from error
        except BaseException:
            _end(scratch)
            scratch.close()
            raise
        else:
            return scratch
    raise AssertionError("unreachable")


def _end(scratch: Scratch) -> None:
    """End a Ray that has hardly started: its agents outlive a raylet that did not know of them."""
    ray.shutdown()
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if str(scratch.path) in " ".join(process.info["cmdline"] or ()):
                process.kill()


def _connect(address: str, root: Path) -> None:
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={
                "working_dir": str(root),
                "excludes": ["pipeline-outputs", ".git", ".venv"],
            },
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"There is no Ray cluster at {address}: {str(error).strip()}\nStart one (`ray start --head`), "
            "give its address with --ray-address HOST:PORT and its token in RAY_AUTH_TOKEN; or leave "
            "the address out to run on this machine."
        ) from error


def _cpus() -> float:
    resources: dict[str, Any] = _RAY.cluster_resources()
    return float(resources.get("CPU", 1.0))
