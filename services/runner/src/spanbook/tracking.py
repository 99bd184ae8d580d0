"""MLflow within an attempt: its client finds the collector, and leaves nothing behind for the next.

Nothing here imports MLflow: what is to be undone is undone only where a task has imported it.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from spanbook_runfile.mlflow import experiment_id, run_id

from spanbook.door import Door
from spanbook.masking import Masker

log = logging.getLogger(__name__)
URI: Final = "MLFLOW_TRACKING_URI"
OWN_URI: Final = "SPANBOOK_MLFLOW_URI"  # where the collector answers MLflow; "off" for nowhere
_GRPC_PORT, _HTTP_PORT = 4317, 4318
USUAL: Final = {  # unless the user has said otherwise
    "GIT_PYTHON_REFRESH": "quiet",  # no git on the machine is no news
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # nobody watches it
    "MLFLOW_ENABLE_OTLP_EXPORTER": "false",  # traces go with their run, not to a trace of their own
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the address is no page
}


def tracking_uri(env: Mapping[str, str]) -> str:
    """Where the collector answers MLflow; empty where it does not, or MLflow is led elsewhere.

    It is told, or the address that records go to: OTLP over HTTP has the same port; for gRPC on the
    collector's own port, its port for HTTP is taken.
    """
    told = env.get(OWN_URI, "")
    if told:
        return "" if told == "off" else told.rstrip("/")
    if env.get(URI):
        return ""
    endpoint = urlsplit(env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
    if env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc") == "http/protobuf":
        port: int | None = endpoint.port or _HTTP_PORT
    else:
        own = {_GRPC_PORT: _HTTP_PORT}
        with contextlib.suppress(ValueError):
            ports = (env.get(f"SPANBOOK_OTLP_{kind}_PORT", "") for kind in ("GRPC", "HTTP"))
            grpc, http = map(int, ports)
            own[grpc] = http
        port = own.get(endpoint.port or _GRPC_PORT)
    if port is None:
        return ""
    scheme = endpoint.scheme if endpoint.scheme in ("http", "https") else "http"
    return f"{scheme}://{endpoint.hostname or '127.0.0.1'}:{port}/mlflow"


def variables(uri: str, pipeline: str, task: str, run: str, span: str) -> dict[str, str]:
    """What an attempt's environment says to MLflow's client; nothing where there is no ``uri``."""
    if not uri:
        return {}
    own = run_id(run, span)
    return {
        URI: f"{uri}/{own}",
        "MLFLOW_RUN_ID": own,
        "MLFLOW_EXPERIMENT_ID": experiment_id(pipeline, task),
    }


@cache
def _door(upstream: str, masker: Masker) -> Door:
    """This worker's own, for as long as it lives."""
    return Door(upstream, masker)


def _through(given: Mapping[str, str], masker: Masker) -> dict[str, str]:
    """The same variables, with this worker's own address for the collector's."""
    upstream, _, own = given[URI].rpartition("/")
    return {**given, URI: f"{_door(upstream, masker).uri}/{own}"}


@contextlib.contextmanager
def reachable(uri: str, host: str, run: str) -> Iterator[str]:
    """An address that workers on other machines reach: ``uri``, or a door of the driver's to it.

    ``host`` is the driver's own address that they reach, empty where they run on its machine.
    """
    here = urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1")
    if not (uri and host and here):
        yield uri
        return
    door = Door(uri, Masker(), host=host, only=run)
    try:
        yield door.uri
    finally:
        door.close()


@contextlib.contextmanager
def mlflow_client(
    given: Mapping[str, str], masker: Masker, failed: Callable[[], bool]
) -> Iterator[None]:
    """The environment has these variables meanwhile; a run that the task left open is ended.

    ``failed`` says at the end whether the attempt has.
    """
    if not given:
        yield
        return
    for key, value in USUAL.items():
        os.environ.setdefault(key, value)
    added = _through(given, masker)
    os.environ.update(added)
    try:
        yield
    finally:
        client = sys.modules.get("mlflow")
        if client is not None:
            _leave(client, failed=failed())
        for key in added:
            os.environ.pop(key, None)


def _leave(client: Any, *, failed: bool) -> None:
    """End what the task left open in MLflow's client, and have it forget the task."""
    try:
        while client.active_run() is not None:
            client.end_run("FAILED" if failed else "FINISHED")
        for name in ("flush_async_logging", "flush_trace_async_logging"):
            if flush := getattr(client, name, None):
                flush()
    except Exception as error:  # noqa: BLE001 - the task's own story is told; this comes after it
        log.warning("MLflow's run could not be ended: %s", error)
    fluent: Any = sys.modules.get("mlflow.tracking.fluent")
    service: Any = sys.modules.get("mlflow.tracking._tracking_service.utils")
    autologging: Any = sys.modules.get("mlflow.utils.autologging_utils")
    with contextlib.suppress(Exception):  # names within MLflow, which may change
        fluent._active_experiment_id = None
        service._tracking_uri = None
        for settings in autologging.AUTOLOGGING_INTEGRATIONS.values():
            settings["disable"] = True
    with contextlib.suppress(Exception):
        if client.get_active_model_id() is not None:
            client.clear_active_model()
