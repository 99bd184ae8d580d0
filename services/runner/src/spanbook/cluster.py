"""Ray: one started here for this run, or a cluster by its address."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from spanbook.errors import UsageError
from spanbook.settings import Settings


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
            yield Cluster(ray.util.get_node_ip_address(), _cpus(), local=False)
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
    folder = Path(tempfile.mkdtemp(prefix="spanbook-", dir=parent))
    try:
        ray.init(
            address="local",
            num_cpus=settings.cpus or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=str(folder),
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _connect(address: str, root: Path) -> None:
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="error",
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
    resources: dict[str, Any] = ray.cluster_resources()
    return float(resources.get("CPU", 1.0))
