"""Every address of MLflow's REST API that is answered, and by what."""

from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from spanbook_collector.receivers.mlflow import artifacts, experiments, models, runs, spans, traces
from spanbook_collector.receivers.mlflow.calls import Call, Handler, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError, not_kept

VERSION = "3.3.2"  # what this API is like: later clients hand spans over as those of then did


@dataclass(frozen=True, slots=True)
class Route:
    """One address; ``raw``: the handler reads the body itself."""

    method: str
    path: str
    handler: Handler
    raw: bool = False


async def version(_: Call) -> web.StreamResponse:
    """``version``."""
    return web.Response(text=VERSION)


async def health(_: Call) -> web.StreamResponse:
    """``health``."""
    return web.Response(text="OK")


async def server_info(_: Call) -> Json:
    """``server-info``: what clients ask before they use what is new."""
    return {
        "store_type": "SpanbookCollector",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "features_enabled": {"gateway": False},
    }


async def unknown(call: Call) -> Json:
    """What MLflow has beyond this, or nobody has."""
    path = call.request.path
    if any(part in path for part in ("registered-models", "model-versions", "prompts")):
        raise not_kept("Registered models, their versions and aliases are")
    raise MlflowError(
        f"There is no {call.request.method} {path[:200]} here: spanbook's collector keeps runs. "
        "See docs/mlflow.md for what it answers.",
        "ENDPOINT_NOT_FOUND",
    )


def _routes() -> Iterator[Route]:
    for api in (
        "/api/2.0/mlflow",
        "/ajax-api/2.0/mlflow",
        "/api/3.0/mlflow",
        "/ajax-api/3.0/mlflow",
    ):
        for method, path, handler in _CALLS:
            yield Route(method, f"{api}/{path}", handler)
        v3 = "/3.0/" in api
        yield Route("POST", f"{api}/traces", traces.start_v3 if v3 else traces.start_v2)
    for api in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        at = f"{api}/artifacts"
        yield Route("GET", at, artifacts.list_proxied, raw=True)
        yield Route("GET", f"{at}/{{path:.+}}", artifacts.get, raw=True)
        yield Route("PUT", f"{at}/{{path:.*}}", artifacts.put, raw=True)
        yield Route("DELETE", f"{at}/{{path:.*}}", artifacts.delete, raw=True)
        yield Route("*", f"{api}/{{rest:(mpu|presigned).*}}", artifacts.multipart, raw=True)
    yield Route("GET", "/get-artifact", artifacts.get_by_run, raw=True)
    yield Route("GET", "/version", version, raw=True)
    yield Route("GET", "/health", health, raw=True)


_CALLS: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "runs/create", runs.create),
    ("GET", "runs/get", runs.get),
    ("POST", "runs/update", runs.update),
    ("POST", "runs/delete", runs.delete),
    ("POST", "runs/restore", runs.restore),
    ("POST", "runs/search", runs.find),
    ("POST", "runs/log-parameter", runs.log_param),
    ("POST", "runs/log-metric", runs.log_metric),
    ("POST", "runs/log-batch", runs.log_batch),
    ("POST", "runs/set-tag", runs.set_tag),
    ("POST", "runs/delete-tag", runs.delete_tag),
    ("POST", "runs/log-inputs", runs.log_inputs),
    ("POST", "runs/outputs", models.log_outputs),
    ("POST", "runs/log-model", models.log_model),
    ("GET", "metrics/get-history", runs.metric_history),
    ("GET", "artifacts/list", artifacts.list_run),
    ("POST", "experiments/create", experiments.create),
    ("GET", "experiments/get", experiments.get),
    ("GET", "experiments/get-by-name", experiments.get_by_name),
    ("POST", "experiments/search", experiments.find),
    ("GET", "experiments/search", experiments.find),
    ("POST", "experiments/update", experiments.update),
    ("POST", "experiments/delete", experiments.delete),
    ("POST", "experiments/restore", experiments.restore),
    ("POST", "experiments/set-experiment-tag", experiments.set_tag),
    ("POST", "experiments/delete-experiment-tag", experiments.delete_tag),
    ("POST", "logged-models", models.create),
    ("POST", "logged-models/search", models.search_models),
    ("GET", "logged-models/{model}", models.get),
    ("PATCH", "logged-models/{model}", models.finalize),
    ("DELETE", "logged-models/{model}", models.delete),
    ("PATCH", "logged-models/{model}/tags", models.set_tags),
    ("DELETE", "logged-models/{model}/tags/{key:.+}", models.delete_tag),
    ("POST", "logged-models/{model}/params", models.log_params),
    ("GET", "logged-models/{model}/artifacts/directories", artifacts.list_model),
    ("GET", "logged-models/{model}/artifacts/files", artifacts.get_of_model),
    ("GET", "server-info", server_info),
    ("GET", "traces", traces.search_v2),
    ("POST", "traces/search", traces.search_v3),
    ("PATCH", "traces/{trace}", traces.end_v2),
    ("GET", "traces/{trace:tr-[^/]+}", traces.get_v3),
    ("GET", "traces/{trace}/info", traces.get_v2),
    ("PATCH", "traces/{trace}/tags", traces.set_tag),
    ("DELETE", "traces/{trace}/tags", traces.delete_tag),
)
ROUTES = tuple(_routes())
OTLP = Route("POST", "/v1/traces", spans.export, raw=True)  # below an attempt's address only
