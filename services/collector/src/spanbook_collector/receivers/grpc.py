"""OTLP over gRPC: the three Export methods, on the bytes as they came off the wire."""

import asyncio
import time

import grpc
from grpc import aio
from spanbook_runfile.journal import Signal

from spanbook_collector.budget import Budget
from spanbook_collector.errors import Busy, CollectorError, NotUnary, Refusal
from spanbook_collector.ingest import Ingest
from spanbook_collector.replies import response, status
from spanbook_collector.settings import Settings

_PACKAGE = "opentelemetry.proto.collector"
_METHODS = {
    f"/{_PACKAGE}.trace.v1.TraceService/Export": Signal.TRACES,
    f"/{_PACKAGE}.logs.v1.LogsService/Export": Signal.LOGS,
    f"/{_PACKAGE}.metrics.v1.MetricsService/Export": Signal.METRICS,
}
_SLOW = 2.0  # seconds
_LIVES = 20  # read timeouts that a connection lasts
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Receiver(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the method of each call; its message comes, and the answer goes, as bytes."""

    def __init__(self, ingest: Ingest, budget: Budget, settings: Settings) -> None:
        self._patience = settings.read_timeout
        self._most = max(8, settings.max_inflight_bytes // max(1, settings.max_message_bytes))
        self._coming: dict[asyncio.Timeout, float] = {}  # calls whose message comes, since when
        self._ingest = ingest
        self._budget = budget
        self._handlers = {path: self._handler(signal) for path, signal in _METHODS.items()}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The handler of a call, or None for a method that we do not have (UNIMPLEMENTED)."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, signal: Signal) -> grpc.RpcMethodHandler:
        async def export(_: object, context: aio.ServicerContext) -> bytes:
            try:
                payload = await self._read(context)
                with self._budget.hold(len(payload)):
                    outcome = await self._ingest.export(signal, payload)
            except Refusal as refusal:
                self._ingest.refused += 1
                await _refuse(context, refusal)
                raise  # not reached: abort raises
            return response(signal, outcome)

        # As a stream of one message, which is the same on the wire: so it is we who wait for it.
        return grpc.stream_unary_rpc_method_handler(export)

    async def _read(self, context: aio.ServicerContext) -> bytes:
        try:
            async with asyncio.timeout(self._patience) as limit:
                self._make_room()
                self._coming[limit] = time.monotonic()
                try:
                    # Not by iteration: its generator refers to itself, and kept the message
                    # till the garbage collector came.
                    # Nor is a second one waited for, which no client of a unary method can send:
                    # to see that there is none cost honest clients a tenth of their speed.
                    message: bytes = await context.read()
                finally:
                    self._coming.pop(limit, None)
        except TimeoutError:
            raise Busy(
                f"The request did not come within {self._patience:g} s "
                "(--read-timeout, SPANBOOK_READ_TIMEOUT), or others waited for its place."
            ) from None
        if message is aio.EOF:
            raise NotUnary("The call has no message; Export takes one.")
        return message

    def _make_room(self) -> None:
        """Give the slowest call up where there are many: each holds what came of its message."""
        if len(self._coming) >= self._most:
            slowest, since = next(iter(self._coming.items()))
            if time.monotonic() - since > _SLOW:
                del self._coming[slowest]
                slowest.reschedule(asyncio.get_running_loop().time())


async def _refuse(context: aio.ServicerContext, refusal: Refusal) -> None:
    told = status(refusal)
    trailer = (("grpc-status-details-bin", told.SerializeToString()),)
    await context.abort(_CODES[told.code], told.message, trailing_metadata=trailer)


async def start(settings: Settings, ingest: Ingest, budget: Budget) -> tuple[aio.Server, int]:
    """Start listening; the server and the port it has.

    Raises:
        CollectorError: the port cannot be had.
    """
    server = aio.server(options=_options(settings))
    server.add_generic_rpc_handlers((Receiver(ingest, budget, settings),))
    address = f"{_bracketed(settings.host)}:{settings.grpc_port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise CollectorError(
            f"OTLP/gRPC cannot listen on {address}: the port is in use or the address is not this "
            "machine's. Take another with --grpc-port (SPANBOOK_OTLP_GRPC_PORT) or --host "
            "(SPANBOOK_COLLECTOR_HOST), or stop what listens there."
        ) from error
    await server.start()
    return server, port


def _options(settings: Settings) -> list[tuple[str, int]]:
    """What bounds connections: how many, how long, and what each may have under way."""
    patience = max(1, int(settings.read_timeout * 1000))
    return [
        ("grpc.so_reuseport", 0),  # a second collector on the port must fail, not share it
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", 8),  # each may hold a message of the largest size
        ("grpc.server_handshake_timeout_ms", patience),  # one that says nothing
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # of the client's pings
        # Half-open ones, and those that send a request a byte at a time, have this long. A client
        # that behaves is told to connect anew, and notices nothing.
        ("grpc.max_connection_age_ms", _LIVES * patience),
        ("grpc.max_connection_age_grace_ms", patience),
    ]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
