"""What ``spanbook.lean`` starts in the place of Ray's dashboard agent: it does nothing, in 10 MB.

Ray's raylet aborts where its two agents have not written their ports within 15 s each, and Ray's own
agent imports for seconds, then insists on port 52365, which a second Ray on the machine has. This one
says "no port" as the agent of a Ray without extras does, and gives the other agent the time that
the raylet would have waited for this one. It ends when the raylet does.

Run by its path, with nothing but the standard library: ``python -I -S idle_agent.py AGENT --OPTION=…``.
"""

import os
import sys
import time
from pathlib import Path

PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")  # as awaited
OTHER = "runtime_env_agent_port"
PATIENCE = 12.0  # seconds; the raylet waits 15 for each


def main() -> None:
    """Declare that there are no ports, and wait for the end of the raylet."""
    session = next(word for word in sys.argv if word.startswith("--session-dir="))
    folder, node = Path(session.partition("=")[2]), os.environ["RAY_NODE_ID"]
    for name in PORTS:
        _wait_for(folder / f"{OTHER}_{node}")
        _write(folder / f"{name}_{node}", "-1")
    sys.stdin.read()  # the raylet holds the other end


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.rename(path)


if __name__ == "__main__":
    main()
