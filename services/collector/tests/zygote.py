"""Starts collectors by fork, with all modules loaded: a new one listens in a tenth of the time.

A line of JSON on stdin (``options`` and ``log``) starts one, and is answered with its ``pid``; when
one ends, its ``pid`` and ``code`` are told. Each is a process of its own that runs the command's
``main``; all are killed when stdin ends.
"""

import json
import os
import select
import signal
import sys

from spanbook_collector import cli


def run(options: list[str], log: str) -> None:
    """Be a collector, in the forked process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "ab") as stream, open(os.devnull, "r+b") as null:  # noqa: PTH123
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    code = 1
    try:
        code = cli.main(options)
    finally:
        os._exit(code)


def main() -> None:
    """Fork on request, and tell of those that end."""
    alive: set[int] = set()
    while True:
        if select.select([sys.stdin], [], [], 0.01)[0]:
            line = sys.stdin.readline()
            if not line:
                break
            pid = os.fork()
            if pid == 0:
                run(**json.loads(line))
            alive.add(pid)
            print(json.dumps({"pid": pid}), flush=True)
        while alive and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            alive.discard(ended[0])
            code = os.waitstatus_to_exitcode(ended[1])
            print(json.dumps({"pid": ended[0], "code": code}), flush=True)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
