"""``GET /events``: server-sent events that tell open pages what changed.

A stream holds a thread as long as a page is open, so there are fewer streams than threads, and a
stream whose page went away ends within a second.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator

from flask import Blueprint, Response, request

from spanbook_viewer.changes import Change, Changes

HEARTBEAT = 15.0  # seconds; keeps proxies from closing a quiet stream


class Streams:
    """How many streams are open, and how many may be."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = threading.BoundedSemaphore(most)

    def take(self) -> bool:
        """Take one, if there is one left."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Give one back."""
        self._free.release()


def events_blueprint(changes: Changes, most_streams: int) -> Blueprint:
    """The blueprint with ``/events``."""
    blueprint = Blueprint("events", __name__)
    streams = Streams(most_streams)

    @blueprint.get("/events")
    def events() -> Response:
        if not streams.take():
            return Response(
                f"{streams.most} pages are listening already; close some. This one still works, "
                "but does not update by itself.\n",
                503,
                {"Retry-After": "10"},
                content_type="text/plain; charset=utf-8",
            )
        changes.start()
        last_seen = request.headers.get("Last-Event-ID", "")
        response = Response(
            _stream(changes, last_seen, request.environ.get("gunicorn.socket")),
            content_type="text/event-stream; charset=utf-8",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        response.call_on_close(streams.give_back)
        return response

    return blueprint


def _stream(changes: Changes, last_seen: str, client: socket.socket | None) -> Iterator[str]:
    seen = changes.number_of(last_seen)
    number = changes.number if seen is None else seen
    yield f"retry: 1000\nevent: hello\nid: {changes.mark(number)}\ndata: {{}}\n\n"
    if last_seen and seen is None:  # of a viewer that ran before this one
        yield _event(changes, Change(number, None))
    beat = time.monotonic()
    while not changes.closed and not _gone(client):
        change = changes.since(number, timeout=1.0)
        if change:
            number = change.number
            yield _event(changes, change)
        elif time.monotonic() - beat > HEARTBEAT:
            beat = time.monotonic()
            yield ": still here\n\n"


def _event(changes: Changes, change: Change) -> str:
    data = {"all": True} if change.paths is None else {"paths": change.paths}
    return f"event: changed\nid: {changes.mark(change.number)}\ndata: {json.dumps(data)}\n\n"


def _gone(client: socket.socket | None) -> bool:
    """Whether the other end hung up; a write would tell only at the next heartbeat."""
    if client is None:
        return False
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
