"""The HTTP port: aiohttp's TCP site, with a limit on how many connections are open at once."""

import asyncio

from aiohttp import web

from spanbook_collector.settings import Settings


class Site(web.TCPSite):
    """Listens; a connection beyond the limit is closed before anything is read from it."""

    def __init__(self, runner: web.AppRunner, settings: Settings) -> None:
        super().__init__(runner, settings.host, settings.http_port)
        self._settings = settings

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
            backlog=min(self._settings.max_connections, 1024),
        )

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise AssertionError("the runner is set up")
        if len(server.connections) >= self._settings.max_connections:
            return _Closed()
        return server()


class _Closed(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()
