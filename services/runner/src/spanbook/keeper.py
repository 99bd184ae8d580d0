"""Keeps the services of local mode: starts them, and ends them when whoever started it is gone.

``python -m spanbook.keeper LOG_FOLDER NAME=COMMAND…`` with commands as JSON lists. Its standard
input is a pipe that the starter holds open; at its end, however the starter ended, the services
are asked to stop, and killed if they do not.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_SECONDS = 15.0  # a collector that is told to stop seals what it can first


def main(arguments: list[str]) -> int:
    """Keep the services until standard input ends."""
    logs = Path(arguments[0])
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C is the starter's to handle
        # SIG_IGN would be the services' too, which then do not end while they start.
        signal.signal(number, lambda *_: None)
    services = {}
    for argument in arguments[1:]:
        name, _, command = argument.partition("=")
        with (logs / f"{name}.log").open("wb") as log:
            services[name] = subprocess.Popen(
                json.loads(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    sys.stdout.write(json.dumps({name: service.pid for name, service in services.items()}) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    _stop(list(services.values()))
    return 0


def _stop(services: list[subprocess.Popen[bytes]]) -> None:
    for service in services:
        service.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for service in services:
        try:
            service.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(service.pid, signal.SIGKILL)  # what it left behind


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
