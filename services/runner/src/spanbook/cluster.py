"""Ray: one started here for this run, or a cluster by its address."""

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from spanbook.errors import ServiceError, UsageError
from spanbook.lean import lean_ray
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
    if settings.ray_address:
        _connect(settings.ray_address, root)
        try:
            yield Cluster(str(_RAY.util.get_node_ip_address()), _cpus(), local=False)
        finally:
            ray.shutdown()
        return
    folder = _start(settings)
    try:
        yield Cluster("127.0.0.1", _cpus(), local=True)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _start(settings: Settings) -> Path:
    # Sockets lie in it, whose paths may have 107 characters only: not the system's long TMPDIR.
    parent = "/tmp" if sys.platform == "darwin" else None  # noqa: S108
    for attempt in (1, 2, 3):  # on a machine that is very busy Ray's own time limits may pass
        folder = Path(tempfile.mkdtemp(prefix="spanbook-", dir=parent))
        try:
            with lean_ray():
                ray.init(
                    address="local",
                    num_cpus=settings.cpus or None,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=str(folder),
                )
        except Exception as error:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
            if attempt == 3:
                raise ServiceError(f"Ray does not start on this machine: {error}") from error
        except BaseException:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        else:
            return folder
    raise AssertionError("unreachable")


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
