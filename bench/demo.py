"""The demo pipeline with its ci sizes, in Docker from warm images and as local processes.

Prints a Markdown table beside the ancestor's figures. Every process of a run bears a mark in its
environment, and those are summed: CPU-seconds, and the peak of resident memory (RSS, and PSS,
which shares out shared pages). Needs Linux; figures of a container need the right to see its
processes.
"""

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PIPELINE = "pipelines/mnist_digits"
ARGUMENTS = ["run", PIPELINE, "--params", f"{PIPELINE}/ci.yaml"]
REPEATS = 3
MARK = "SPANBOOK_BENCH_MARK"
SPANBOOK = [str(Path(sys.executable).with_name("spanbook"))]
ANCESTOR = "| ancestor (Ray 2.3, no tracker) | 83.6 | 122 | 2.90 | | 20 |"


@dataclass
class Usage:
    """What the marked processes used: CPU in seconds by process, memory in bytes."""

    wall: float = 0
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    peak_rss: int = 0
    peak_pss: int = 0
    processes: int = 0

    def sample(self, mark: str) -> None:
        """Look at every process that bears the mark now."""
        rss = pss = count = 0
        for process in marked(mark):
            try:
                times, memory = process.cpu_times(), process.memory_full_info()
                key = (process.pid, process.create_time())
            except psutil.Error:
                continue
            self.cpu[key] = times.user + times.system
            rss, pss, count = rss + memory.rss, pss + memory.pss, count + 1
        self.peak_rss = max(self.peak_rss, rss)
        self.peak_pss = max(self.peak_pss, pss)
        self.processes = max(self.processes, count)


def marked(mark: str) -> list[psutil.Process]:
    """The processes with this mark in their environment, in containers too, and their children.

    Ray writes its workers' titles over their environment, so those are known by their parents.
    """
    found, children = [], defaultdict(list)
    for process in psutil.process_iter():
        try:
            children[process.ppid()].append(process)
            if process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    seen = {process.pid for process in found}
    for process in found:  # grows while it is walked
        new = [child for child in children[process.pid] if child.pid not in seen]
        seen.update(child.pid for child in new)
        found += new
    return found


def measure(command: list[str], env: dict[str, str], mark: str) -> Usage:
    """Run a command to its end and sum up what all processes of the mark used."""
    usage, done = Usage(), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            usage.sample(mark)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    try:
        call(command, env)
    finally:
        usage.wall = time.monotonic() - started
        done.set()
        watcher.join()
    return usage


def row(name: str, usages: list[Usage]) -> str:
    """One line of the table: medians."""

    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    wall = median(u.wall for u in usages)
    cpu = median(sum(u.cpu.values()) for u in usages)
    rss = median(u.peak_rss for u in usages) / 1e9
    pss = median(u.peak_pss for u in usages) / 1e9
    count = median(u.processes for u in usages)
    return f"| {name} | {wall:.1f} | {cpu:.0f} | {rss:.2f} | {pss:.2f} | {count:.0f} |"


def local() -> str:
    """All four programs as local processes, started and stopped for each run."""
    usages = []
    for _ in range(REPEATS):
        mark = secrets.token_hex(8)
        with tempfile.TemporaryDirectory() as outputs:
            env = {MARK: mark, "SPANBOOK_OUTPUTS": outputs, **free_ports()}
            usages.append(measure([*SPANBOOK, *ARGUMENTS, "--local"], env, mark))
    return row("spanbook, local processes: all four programs", usages)


def docker() -> str:
    """The runner's container alone, from warm images, into a stack that is up."""
    usages = []
    with compose_stack() as (compose, env):
        for _ in range(REPEATS):
            mark = secrets.token_hex(8)
            command = [*compose, "run", "--rm", "-T", "-e", f"{MARK}={mark}", "runner", *ARGUMENTS]
            usages.append(measure(command, env, mark))
    return row("spanbook, `docker compose run --rm runner`: the runner", usages)


@contextmanager
def compose_stack() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Collector, site-builder and viewer of a project of its own, taken down at the end."""
    with tempfile.TemporaryDirectory() as outputs:
        env = {
            **free_ports(),
            "SPANBOOK_OUTPUTS_DIR": outputs,
            "SPANBOOK_UID": str(os.getuid()),
            "SPANBOOK_GID": str(os.getgid()),
        }
        compose = ["docker", "compose", "-p", f"spanbook-bench-{secrets.token_hex(4)}"]
        try:
            call([*compose, "build", "--quiet"], env)
            call([*compose, "up", "--detach", "--wait", "collector", "site-builder", "viewer"], env)
            yield compose, env
        finally:
            call([*compose, "down", "--volumes", "--remove-orphans"], env)


def call(command: list[str], env: dict[str, str]) -> None:
    """Run a command in the repository, its output out of the table's way; bytecode is kept, as usual."""
    usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=ROOT, env={**usual, **env}, check=True, stdout=sys.stderr)


def engine_answers() -> bool:
    """Whether there is a Docker engine."""
    asked = subprocess.run([ROOT / "scripts/engine"], capture_output=True, text=True, check=True)
    return asked.stdout.strip() == "docker"


def free_ports() -> dict[str, str]:
    """Variables that move the stack's ports to free ones."""
    import socket

    names = ("SPANBOOK_VIEWER_PORT", "SPANBOOK_OTLP_GRPC_PORT", "SPANBOOK_OTLP_HTTP_PORT")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return dict(zip(names, ports, strict=True))


def main() -> None:
    """Measure and print."""
    rows = [ANCESTOR]
    if engine_answers():
        rows.append(docker())
    rows.append(local())
    print(f"Train sizes 600, 800, 1000, 1200 (12 tasks); medians of {REPEATS} runs.\n")
    print("| what | wall s | CPU-s | peak RSS GB | peak PSS GB | processes |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
