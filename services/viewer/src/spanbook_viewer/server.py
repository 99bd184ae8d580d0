"""gunicorn, run from Python: one process, threads, no file of its own but a heartbeat in memory."""

import errno
import json
import os
import selectors
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers import gthread

from spanbook_viewer.app import CHANGES, MOST_STREAMS, create_app
from spanbook_viewer.errors import AddressInUseError, SettingsError
from spanbook_viewer.settings import PORT, Settings

PAGE_THREADS = 16  # beside those that event streams may hold
GRACE = 8  # seconds, for an upload that is under way at a stop; Docker waits ten
# Seconds that a stopping worker waits for a request on an idle connection; browsers keep theirs.
gthread.STOP_KEEPALIVE_LINGER = 0.1


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, for browsers: quiet connections cost it no thread, nor a stop."""

    def enqueue_req(self, conn: gthread.TConn) -> None:
        """Let a new connection wait for its first bytes in the poller.

        Browsers connect ahead of need; gunicorn gives each such connection a thread for 5 s.
        """
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the event streams, then as gunicorn does: SIGTERM."""
        self.wsgi.extensions[CHANGES].close()
        super().handle_exit(sig, frame)

    handle_quit = handle_exit  # SIGINT: a person's Ctrl-C ends as cleanly


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn serving one viewer on a socket that is bound already."""

    def __init__(
        self, settings: Settings, listener: socket.socket, ready: Callable[[], None]
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.ready = ready
        super().__init__()

    def load_config(self) -> None:
        """Everything is set here: no configuration file, no GUNICORN_CMD_ARGS."""
        memory = Path("/dev/shm")  # noqa: S108  the heartbeat file; the root may be read-only
        options: dict[str, Any] = {
            "bind": f"fd://{self.listener.fileno()}",
            "worker_class": "spanbook_viewer.server.Worker",
            "workers": 1,  # one process sees every change and every stream
            "threads": MOST_STREAMS + PAGE_THREADS,
            "worker_tmp_dir": str(memory) if os.access(memory, os.W_OK) else tempfile.gettempdir(),
            "control_socket_disable": True,
            "graceful_timeout": GRACE,
            "keepalive": 5,  # seconds
            "loglevel": "warning",
            "proc_name": "spanbook-viewer",
            "post_worker_init": lambda _: self.ready(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in the worker: its threads must not be forked."""
        return create_app(self.settings)


def serve(settings: Settings, ready_file: Path | None = None) -> None:
    """Serve until told to stop; ends by SystemExit.

    Raises:
        AddressInUseError: the port is taken.
        SettingsError: the host is no address of this machine, or the port needs privileges.
    """
    listener = bind(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    note = {"url": f"http://{shown}:{port}/", "host": host, "port": port, "pid": os.getpid()}

    def ready() -> None:
        print(f"spanbook-viewer: {settings.site} on {note['url']}", flush=True)  # noqa: T201
        if ready_file:
            aside = ready_file.with_name(f".{ready_file.name}.tmp")
            aside.write_text(json.dumps(note) + "\n", encoding="utf-8")
            aside.replace(ready_file)

    sys.argv[1:] = []  # gunicorn would read our flags as its own
    Server(settings, listener, ready).run()


def bind(settings: Settings) -> socket.socket:
    """The listening socket; raises as :func:`serve`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        where = f"{settings.host}:{settings.port}"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"Another program listens on {where} already, perhaps another viewer. Stop it, or "
                f"take another port: --port, or {PORT} (in .env for Docker); 0 takes a free one."
            ) from error
        raise SettingsError(
            f"Cannot listen on {where}: {error}. The host must be an address of this machine; "
            "ports under 1024 often need privileges."
        ) from error
