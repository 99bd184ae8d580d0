"""OTLP over HTTP: ``POST /v1/{traces,logs,metrics}`` in protobuf or JSON, gzip or plain."""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterable

import orjson
from aiohttp import web
from google.rpc.status_pb2 import Status
from spanbook_runfile.errors import NotOtlpError
from spanbook_runfile.fromjson import to_protobuf
from spanbook_runfile.journal import Signal

from spanbook_collector.budget import Budget
from spanbook_collector.errors import Busy, Invalid, Refusal, TooLarge, UnsupportedMedia
from spanbook_collector.ingest import Ingest, Outcome
from spanbook_collector.replies import response, response_json, status
from spanbook_collector.settings import Settings

log = logging.getLogger(__name__)
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_SMALL = 1 << 15  # bytes of JSON that are converted on the spot, not in a thread
_PATHS = {"/v1/traces": Signal.TRACES, "/v1/logs": Signal.LOGS, "/v1/metrics": Signal.METRICS}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(settings: Settings, ingest: Ingest, budget: Budget) -> Iterable[web.RouteDef]:
    """The OTLP routes, for the application that the HTTP port serves."""
    receiver = Receiver(settings, ingest, budget)
    return [web.post(path, receiver.handler(signal)) for path, signal in _PATHS.items()]


class Receiver:
    """Reads requests within the limits, and answers as the OTLP specification wants it."""

    def __init__(self, settings: Settings, ingest: Ingest, budget: Budget) -> None:
        self._settings = settings
        self._ingest = ingest
        self._budget = budget
        self._converting = asyncio.Semaphore(1)  # JSON takes many times its size in memory

    def handler(self, signal: Signal) -> Handler:
        """The handler of one signal's path."""

        async def export(request: web.Request) -> web.Response:
            try:
                outcome = await self._take(signal, request)
            except Refusal as refusal:
                self._ingest.refused += 1
                return refuse(request, refusal)
            if request.content_type == JSON:
                return web.Response(
                    body=orjson.dumps(response_json(signal, outcome)), content_type=JSON
                )
            return web.Response(body=response(signal, outcome), content_type=PROTOBUF)

        return export

    async def _take(self, signal: Signal, request: web.Request) -> Outcome:
        if request.content_type not in (PROTOBUF, JSON):
            raise UnsupportedMedia(
                f"The content type is {request.headers.get('Content-Type', 'missing')[:80]!r}; "
                f"OTLP/HTTP takes {PROTOBUF} and {JSON}."
            )
        body = Body(request, self._settings.max_message_bytes, self._budget)
        try:
            try:
                async with asyncio.timeout(self._settings.read_timeout):
                    payload = await body.read()
            except TimeoutError:
                raise Busy(
                    f"The request did not come within {self._settings.read_timeout:g} s "
                    "(--read-timeout, SPANBOOK_READ_TIMEOUT)."
                ) from None
            if request.content_type == JSON:
                payload = await self._convert(signal, payload)
            return await self._ingest.export(signal, payload)
        finally:
            body.release()

    async def _convert(self, signal: Signal, payload: bytes) -> bytes:
        try:
            if len(payload) <= _SMALL:
                return to_protobuf(signal, payload)
            async with self._converting:
                return await asyncio.to_thread(to_protobuf, signal, payload)
        except NotOtlpError as error:
            raise Invalid(str(error)) from error


class Body:
    """A request's body, read piece by piece: its size counts after decompression."""

    def __init__(self, request: web.Request, limit: int, budget: Budget) -> None:
        self._request = request
        self._limit = limit
        self._budget = budget
        self._held = 0

    async def read(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            TooLarge: it is over the limit.
            UnsupportedMedia: it is in an encoding that OTLP does not have.
            Invalid: it is not what its encoding says, or cut short.
            Busy: too much is under way.
        """
        encoding = self._request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise UnsupportedMedia(
                f"The content encoding is {encoding[:40]!r}; it takes gzip and identity."
            )
        if (self._request.content_length or 0) > self._limit:
            raise self._too_large()
        unzip = Gunzip() if encoding == "gzip" else None
        out = bytearray()
        try:
            async for chunk in self._request.content.iter_any():
                if unzip is None:
                    self._add(out, chunk)
                    continue
                unzip.feed(chunk)
                while piece := unzip.take(self._limit - len(out) + 1):
                    self._add(out, piece)
        except (web.PayloadAccessError, web.RequestPayloadError, ConnectionError) as error:
            raise Invalid(f"The body is cut short or garbled: {error}.") from error
        if unzip is not None:
            unzip.end()
        return bytes(out)

    def _add(self, out: bytearray, piece: bytes) -> None:
        if len(out) + len(piece) > self._limit:
            raise self._too_large()
        self._budget.take(len(piece))
        self._held += len(piece)
        out += piece

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The request has over {self._limit:,} bytes, decompressed (--max-message-bytes, "
            "SPANBOOK_MAX_MESSAGE_BYTES). Send fewer items at once."
        )

    def release(self) -> None:
        """Give the budget back."""
        self._budget.give(self._held)
        self._held = 0


class Gunzip:
    """Decompresses gzip step by step, never more than asked for."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._fed = False

    def feed(self, chunk: bytes) -> None:
        """Add compressed bytes."""
        self._fed = self._fed or bool(chunk)
        self._rest += chunk

    def take(self, most: int) -> bytes:
        """Up to so many decompressed bytes; empty when there are none yet.

        Raises:
            Invalid: this is not gzip.
        """
        if self._stream.eof and self._rest:  # another member of the same file
            self._stream = zlib.decompressobj(wbits=31)
        try:
            out = self._stream.decompress(self._rest, max(most, 1))
        except zlib.error as error:
            raise Invalid(
                f"The body is not gzip, though its content encoding says so: {error}."
            ) from error
        self._rest = self._stream.unconsumed_tail or self._stream.unused_data
        return out

    def end(self) -> None:
        """Check that the stream is whole.

        Raises:
            Invalid: it is cut short.
        """
        if self._fed and not self._stream.eof:
            raise Invalid("The gzip body is cut short.")


_HTTP = {Invalid: 400, TooLarge: 413, UnsupportedMedia: 415, Busy: 503}


def refuse(request: web.Request, refusal: Refusal) -> web.Response:
    """A refusal as an HTTP response with a ``google.rpc.Status`` body in the request's encoding."""
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, Busy) else {}
    return status_response(request, _HTTP[type(refusal)], status(refusal), headers)


def status_response(
    request: web.BaseRequest, code: int, told: Status, headers: dict[str, str] | None = None
) -> web.Response:
    """A ``google.rpc.Status`` in the request's encoding; in JSON where that cannot be told."""
    if request.content_type == PROTOBUF:
        return web.Response(
            status=code, body=told.SerializeToString(), content_type=PROTOBUF, headers=headers
        )
    body = orjson.dumps({"code": told.code, "message": told.message})
    return web.Response(status=code, body=body, content_type=JSON, headers=headers)


@web.middleware
async def errors_as_status(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal of the router (404, 405) has a Status body, too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code, said = (12, "Unimplemented") if error.status in (404, 405) else (3, error.reason)
        told = Status(
            code=code,
            message=f"{said}: {request.method} {request.path[:200]}. "
            "OTLP is POST /v1/traces, /v1/logs and /v1/metrics.",
        )
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return status_response(request, error.status, told, headers)


async def expectation_as_status(request: web.Request, response: web.StreamResponse) -> None:
    """As :func:`errors_as_status` for what aiohttp refuses before any handler or middleware."""
    if isinstance(response, web.HTTPExpectationFailed):
        told = Status(code=3, message="Of expectations (Expect) only 100-continue is known.")
        out = status_response(request, response.status, told)
        response.body, response.content_type, response.charset = out.body, out.content_type, None
