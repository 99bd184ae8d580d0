"""One request of MLflow's client: what it asks, and within which attempt."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from spanbook_collector.receivers.mlflow.errors import MlflowError, missing
from spanbook_collector.receivers.mlflow.tracking import Tracking
from spanbook_collector.receivers.mlflow.views import Ref

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request; ``home`` is the attempt that the tracking URI names, None outside a pipeline."""

    tracking: Tracking
    request: web.Request
    body: Json
    home: Ref | None

    @property
    def path(self) -> Mapping[str, str]:
        """The variable parts of the address."""
        return self.request.match_info

    def mine(self, ref: Ref) -> Ref:
        """``ref``, where this client may write to it: an attempt writes to its own run only.

        Raises:
            MlflowError: it may not.
        """
        if self.home and ref.run != self.home.run:
            if not self.tracking.exists(ref.run):
                raise missing("Run", ref.id)
            raise MlflowError(
                f"The run {ref.id} is not of the pipeline run {self.home.run} that this task belongs "
                "to; a task can read other runs, not change them.",
                "PERMISSION_DENIED",
            )
        return ref


Handler: TypeAlias = Callable[[Call], Awaitable["Json | web.StreamResponse"]]


def parsed(raw: bytes) -> Json:
    """A request's JSON object; empty where there is none.

    Raises:
        MlflowError: it is something else.
    """
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)  # takes NaN and Infinity, as MLflow's server does
    except (ValueError, RecursionError) as error:
        raise MlflowError(f"The request's body is not JSON: {error}.", "BAD_REQUEST") from error
    if not isinstance(body, dict):
        raise MlflowError(
            f"The request's body is a JSON {type(body).__name__}; it must be an object.",
            "BAD_REQUEST",
        )
    return body


def queried(request: web.Request) -> Json:
    """A GET request's parameters; one that comes again is a list."""
    found: Json = {}
    for key in request.query:
        values = request.query.getall(key)
        found[key] = values if len(values) > 1 else values[0]
    return found
