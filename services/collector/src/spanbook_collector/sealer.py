"""The sealer's own process: it merges a journal into a run file, at low priority, one at a time.

A request is a line of JSON on stdin, the answer a line on stdout. When stdin ends, because the
collector stopped or was killed, the process ends at once, whatever it does: a seal that was not
finished has left nothing behind that bears a run file's name.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading


def main() -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the collector's to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(10)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    # Only now: it takes half a second, in which a killed collector's successor would wait for the
    # lock that this process has inherited.
    from spanbook_collector.sealing import answer  # noqa: PLC0415

    while True:
        print(json.dumps(answer(json.loads(requests.get()))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
