"""The collector as a whole: put together, started, and stopped without loss."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from spanbook_collector.budget import Budget
from spanbook_collector.disk import Disk
from spanbook_collector.errors import CollectorError
from spanbook_collector.health import Health
from spanbook_collector.ingest import Ingest
from spanbook_collector.journals import Committer
from spanbook_collector.lock import lock_folder
from spanbook_collector.receivers import grpc as grpc_receiver
from spanbook_collector.receivers import http as http_receiver
from spanbook_collector.receivers import mlflow as mlflow_receiver
from spanbook_collector.recover import recover
from spanbook_collector.runs import Runs
from spanbook_collector.seals import Sealer
from spanbook_collector.settings import Settings
from spanbook_collector.site import Site

log = logging.getLogger(__name__)
_TICK = 0.25  # seconds between looks for runs to seal
_MANY = 1 << 20  # files, where the system sets no limit
Routes = Callable[[Settings, Ingest, Budget], Iterable[web.RouteDef]]
HTTP_ROUTES: tuple[Routes, ...] = (
    http_receiver.routes,
    mlflow_receiver.routes,
)  # what else is served on the HTTP port goes here


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a collector listens."""

    host: str
    grpc_port: int
    http_port: int

    def as_json(self) -> str:
        """For ``--ready-file``: addresses that a client on this machine can use."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return json.dumps(
            {
                "grpc": f"{host}:{self.grpc_port}",
                "http": f"http://{host}:{self.http_port}",
                "host": self.host,
                "grpc_port": self.grpc_port,
                "http_port": self.http_port,
                "pid": os.getpid(),
            }
        )


class Collector:
    """One collector: ``await start()``, then ``await stop()``."""

    def __init__(self, settings: Settings, disk: Disk | None = None) -> None:
        self.settings = settings
        self.disk = disk or Disk()
        self.addresses: Addresses | None = None

    async def start(self) -> Addresses:
        """Recover what an earlier one left, then listen.

        Raises:
            CollectorError: a folder or port cannot be used; the message says what to change.
        """
        make_folders(self.settings)
        share = _raise_file_limit() // 4
        settings = self.settings = _within(share, self.settings)
        self._lock = lock_folder(settings.journals)
        self.committer = Committer(self.disk, fsync=settings.fsync == "always", most_open=share)
        self.sealer = Sealer(settings.runs, self._lock)
        self.runs = Runs(settings, self.disk, self.committer, self.sealer)
        self.ingest = Ingest(self.runs)
        budget = Budget(settings.max_inflight_bytes)
        recover(self.runs)
        self._http = await self._start_http(budget)
        try:
            self._grpc, grpc_port = await grpc_receiver.start(settings, self.ingest, budget)
        except CollectorError:
            await self._http.cleanup()
            raise
        self._ticker = asyncio.create_task(self._tick())
        http_port = self._http.addresses[0][1]
        self.addresses = Addresses(settings.host, grpc_port, http_port)
        return self.addresses

    async def _start_http(self, budget: Budget) -> web.AppRunner:
        settings = self.settings
        app = web.Application(middlewares=[http_receiver.errors_as_status])
        app.on_response_prepare.append(http_receiver.expectation_as_status)
        app.add_routes(Health(self.ingest, budget).routes())
        for routes in HTTP_ROUTES:
            app.add_routes(routes(settings, self.ingest, budget))
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=settings.drain)
        await runner.setup()
        try:
            await Site(runner, settings).start()
        except OSError as error:
            await runner.cleanup()
            raise CollectorError(
                f"OTLP/HTTP cannot listen on {settings.host}:{settings.http_port}: "
                f"{error.strerror}. Take another with --http-port (SPANBOOK_OTLP_HTTP_PORT) or "
                "--host (SPANBOOK_COLLECTOR_HOST), or stop what listens there."
            ) from error
        return runner

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.runs.look()

    async def stop(self) -> None:
        """Take no more, answer what is under way, let complete runs be sealed, and close."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.drain
        self._ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticker
        await asyncio.gather(self._grpc.stop(self.settings.drain), self._http.cleanup())
        self.ingest.stopping = True
        await self.committer.drain()
        await self.runs.finish(max(0.0, end - loop.time()))
        await self.sealer.close()
        self.committer.close()
        os.close(self._lock)


def make_folders(settings: Settings) -> None:
    """Make the folders, and see that they can be written.

    Raises:
        CollectorError: one cannot.
    """
    for folder in (settings.runs, settings.journals, settings.late):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise CollectorError(
                f"The folder {folder} cannot be written: {error.strerror}. Mend its permissions, "
                "or name another with --outputs (SPANBOOK_OUTPUTS)."
            ) from error


def _raise_file_limit() -> int:
    """Have as many files open as the system lets us; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return _MANY if soft == resource.RLIM_INFINITY else soft


def _within(share: int, settings: Settings) -> Settings:
    """The settings, with no more connections than there are files for.

    A quarter of the files for each port's connections and for journals: without the last quarter no
    run could be sealed, which is what gives files back.
    """
    if settings.max_connections <= share:
        return settings
    log.warning(
        "Only %d connections on each port, not %d (--max-connections): the system allows this "
        "process %d open files (ulimit -n).",
        share,
        settings.max_connections,
        4 * share,
    )
    return replace(settings, max_connections=share)


def _told_in_a_line(record: logging.LogRecord) -> bool:
    """What anybody can send that is no HTTP is worth a line of the log, not a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.exc_info = "Refused a request that is no HTTP: %.200s", None
        record.args = (str(error).split("\n", 1)[0],)
        record.levelno, record.levelname = logging.INFO, "INFO"
    return log.isEnabledFor(record.levelno)


async def serve(settings: Settings) -> None:
    """Run a collector until SIGTERM or SIGINT.

    Raises:
        CollectorError: it cannot start.
    """
    logging.getLogger("aiohttp.server").addFilter(_told_in_a_line)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    collector = Collector(settings)
    addresses = await collector.start()
    gc.freeze()  # what is loaded stays: looking through it again and again took time from ingest
    gc.set_threshold(50_000, 20, 20)
    print(  # noqa: T201 - the one line that tells where it listens
        f"spanbook-collector: OTLP/gRPC on {addresses.host}:{addresses.grpc_port}, OTLP/HTTP on "
        f"{addresses.host}:{addresses.http_port}; runs go to {settings.runs}",
        flush=True,
    )
    if settings.ready_file is not None:
        _write_ready(settings.ready_file, addresses)
    await stopped.wait()
    log.info("Stopping.")
    await collector.stop()


def _write_ready(path: Path, addresses: Addresses) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(addresses.as_json() + "\n")
        aside.replace(path)
    except OSError as error:
        raise CollectorError(f"The ready file {path} cannot be written: {error}") from error


__all__ = ["HTTP_ROUTES", "Addresses", "Collector", "serve"]
