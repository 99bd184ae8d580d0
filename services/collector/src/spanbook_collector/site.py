"""The HTTP port: aiohttp's TCP site, with a limit on connections, and errors as OTLP has them."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from google.rpc.code_pb2 import INTERNAL, INVALID_ARGUMENT
from google.rpc.status_pb2 import Status

from spanbook_collector.receivers.http import status_response
from spanbook_collector.settings import Settings

_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # the receiver does it, with a limit
    "keepalive_timeout": 75,
}
_MOST = 300  # characters of a message: it quotes what came


class Connection(web.RequestHandler):
    """One connection: what is no HTTP, and a fault of ours, has a Status body, too."""

    __slots__ = ("_leave",)

    def __init__(self, server: web.Server, leave: Callable[[], None]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._leave = leave

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell that there is room for another one."""
        self._leave()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer where there is no request yet, or its handler failed."""
        plain = super().handle_error(request, status, exc, message)
        code = INTERNAL if plain.status >= 500 else INVALID_ARGUMENT
        text = message or "The collector failed; its log tells why."
        out = status_response(request, plain.status, Status(code=code, message=text[:_MOST]))
        out.force_close()
        return out


class Site(web.TCPSite):
    """Listens; a connection beyond the limit is closed before anything is read from it."""

    def __init__(self, runner: web.AppRunner, settings: Settings) -> None:
        super().__init__(runner, settings.host, settings.http_port)
        self._settings = settings
        self._open = 0  # the server's own count knows a connection only some moments later

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be had.
        """
        await web.BaseSite.start(self)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._protocol,
            self._settings.host,
            self._settings.http_port,
            # As many are accepted before those beyond the limit are closed.
            backlog=min(1 + self._settings.max_connections // 4, 1024),
        )

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise AssertionError("the runner is set up")
        if self._open >= self._settings.max_connections:
            return _Closed()
        self._open += 1
        return Connection(server, self._leave)

    def _leave(self) -> None:
        self._open -= 1


class _Closed(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()
