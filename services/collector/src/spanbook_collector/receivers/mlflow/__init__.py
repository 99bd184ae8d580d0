"""MLflow's REST API, so that an unmodified client logs into a run file.

The routes stand below ``/mlflow/RUN`` (an attempt's tracking URI: RUN is its MLflow run id), below
``/mlflow``, and at the root, where OTLP's own paths are others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from spanbook_collector.budget import Budget
from spanbook_collector.errors import Busy, Invalid, Refusal, TooLarge, UnsupportedMedia
from spanbook_collector.ingest import Ingest
from spanbook_collector.receivers.http import Body
from spanbook_collector.receivers.mlflow import table
from spanbook_collector.receivers.mlflow.alone import Keeper
from spanbook_collector.receivers.mlflow.calls import Call, Handler, parsed, queried
from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.tracking import WAIT, Tracking, ref_of
from spanbook_collector.receivers.mlflow.views import Ref
from spanbook_collector.settings import Settings

log = logging.getLogger(__name__)
_CODES = {
    Busy: "TEMPORARILY_UNAVAILABLE",
    Invalid: "BAD_REQUEST",
    TooLarge: "BAD_REQUEST",
    UnsupportedMedia: "BAD_REQUEST",
}
_FAULT = "INTERNAL_ERROR"
_HOME = "/mlflow/{home:[0-9a-f]{48}}"
_keepers: set[asyncio.Task[None]] = set()


def routes(settings: Settings, ingest: Ingest, budget: Budget) -> Iterable[web.RouteDef]:
    """MLflow's routes, for the application that the HTTP port serves."""
    receiver = Receiver(Tracking(settings, ingest, budget))
    keeper = asyncio.get_running_loop().create_task(Keeper(receiver.tracking).run())
    _keepers.add(keeper)
    keeper.add_done_callback(_keepers.discard)
    otlp = receiver.handler(table.OTLP.handler, raw=True)
    yield web.route(table.OTLP.method, _HOME + table.OTLP.path, otlp)
    for prefix in (_HOME, "/mlflow", ""):
        for route in table.ROUTES:
            handler = receiver.handler(route.handler, raw=route.raw)
            yield web.route(route.method, prefix + route.path, handler)
    for prefix in ("/mlflow", "/api", "/ajax-api"):
        yield web.route("*", prefix + "{rest:.*}", receiver.handler(table.unknown, raw=True))


class Receiver:
    """Reads requests within the limits, and answers as MLflow's server does."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def handler(
        self, handler: Handler, *, raw: bool
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """One route's handler: errors are in MLflow's form."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                answer = await self._answer(handler, request, raw=raw)
            except MlflowError as error:
                return web.json_response(error.as_json(), status=error.status)
            except Refusal as refusal:
                self.tracking.ingest.refused += 1
                return _refused(refusal)
            except OSError as error:
                log.exception("A request of MLflow's failed.")
                told = MlflowError(f"The disk refused: {error}", "TEMPORARILY_UNAVAILABLE")
                return web.json_response(told.as_json(), status=told.status)
            except web.HTTPException:
                raise
            except Exception:
                log.exception("A request of MLflow's was not answered.")
                told = MlflowError("This is a fault of the collector's; its log has it.", _FAULT)
                return web.json_response(told.as_json(), status=told.status)
            return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

        return handle

    async def _answer(
        self, handler: Handler, request: web.Request, *, raw: bool
    ) -> "dict[str, object] | web.StreamResponse":
        home = request.match_info.get("home")
        ref = ref_of(home) if home else None
        if ref:
            await self._wait_for(ref)
        if raw:
            return await handler(Call(self.tracking, request, queried(request), ref))
        limits = self.tracking.settings
        body = Body(request, limits.max_message_bytes, self.tracking.budget)
        try:
            try:
                async with asyncio.timeout(limits.read_timeout):
                    content = parsed(await body.read())
            except TimeoutError:
                raise Busy(f"The request did not come within {limits.read_timeout:g} s.") from None
            given = {**queried(request), **content}
            return await handler(Call(self.tracking, request, given, ref))
        finally:
            body.release()

    async def _wait_for(self, ref: Ref) -> None:
        """An attempt that has just begun is known in a moment."""
        end = asyncio.get_running_loop().time() + WAIT
        while True:
            book = await self.tracking.book(ref.run)
            if book is None and (self.tracking.settings.runs / f"{ref.run}.json").exists():
                return
            if book is not None and book.decoder.attempt(ref.span) is not None:
                return
            if asyncio.get_running_loop().time() > end:
                raise MlflowError(
                    f"The attempt {ref.id} of the tracking URI is not known here: its runner has "
                    "not told of it. Does it send to this collector?",
                    "RESOURCE_DOES_NOT_EXIST",
                )
            await asyncio.sleep(0.05)


def _refused(refusal: Refusal) -> web.Response:
    told = MlflowError(str(refusal), _CODES.get(type(refusal), "BAD_REQUEST"))
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, Busy) else {}
    return web.json_response(told.as_json(), status=told.status, headers=headers)
