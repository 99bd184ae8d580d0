"""``--watch``: build again whenever a run file or a journal changes."""

import logging
import signal
import sys
import threading
import time

from watchfiles import watch as watch_files

from spanbook_site.build import Builder
from spanbook_site.errors import SiteError

log = logging.getLogger("spanbook_site")
PAUSE = 0.8  # seconds between builds while a run is in progress
POLL = 2.0  # seconds after which the folders are looked at even where no event came


def watch(builder: Builder, *, quiet: bool = False, stop: threading.Event | None = None) -> None:
    """Build on every change until stopped (SIGTERM, Ctrl-C, or ``stop``).

    File events are a hint only: some file systems send none (network mounts, Docker on macOS), so
    the folders are scanned every two seconds in any case; a build with nothing new takes 0.2 s of 10,000 runs.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    folders = [builder.runs, *([builder.journals] if builder.journals else [])]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    events = watch_files(
        *folders,
        stop_event=stop,
        debounce=200,
        step=50,
        rust_timeout=int(POLL * 1000),
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    for _ in events:
        if stop.is_set():
            break
        try:
            report = builder.build()
        except (SiteError, OSError) as error:  # a full disk must not end the watch
            log.error("%s", error)  # noqa: TRY400 - the message says it; the trace would only scroll it away
            time.sleep(POLL)
            continue
        if report.rendered and not quiet:
            print(f"{report.rendered} rendered, {report.total} runs", file=sys.stderr, flush=True)  # noqa: T201
        stop.wait(PAUSE)
