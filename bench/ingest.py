"""Durable ingest over OTLP/gRPC, beside its floor and an agent that keeps nothing.

The floor is what any durable receiver in Python has to do: the same gRPC server, the same protobuf
parse, the bytes appended to a file (one a trace, as the collector does), the same group fsync, and
nothing else. The ceiling is ``rotel`` (Rust) with its blackhole exporter, which writes nothing. All
three take the same load from the same client in turns, several times over, so that the machine's
noise meets them alike.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc import aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spanbook_runfile import encode

SPANS = 512
ROTEL = "rotel==0.0.1a15"
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MARK = b"\xfe\xed\xfa\xce\xca\xfe"  # 6 of each span id's 8 bytes; the client counts there
TICKS = os.sysconf("SC_CLK_TCK")


# -- the load ----------------------------------------------------------------------------------


def batch(run_id: str) -> bytes:
    """A request of 512 spans with 10 attributes each."""
    rng = random.Random(run_id)
    spans = [
        encode.span(
            run_id=run_id,
            span_id=(MARK + number.to_bytes(2, "big")).hex(),
            parent_id=f"{rng.getrandbits(64) | 1:016x}",
            name=f"GET /things/{number % 7}",
            start=1_700_000_000_000_000_000 + number * 1000,
            end=1_700_000_000_000_500_000 + number * 1000,
            attrs={
                **{f"attribute.text.{i}": f"value {rng.randrange(1000)}" for i in range(6)},
                **{f"attribute.number.{i}": rng.randrange(10**6) for i in range(3)},
                "attribute.flag": number % 2 == 0,
            },
        )
        for number in range(SPANS)
    ]
    owner = encode.resource({"service.name": "bench", "host.name": "localhost"})
    request: bytes = encode.trace_request(owner, spans).SerializeToString()
    return request


@dataclass
class Load:
    """What one turn of load saw."""

    seconds: float
    latencies: list[float]


async def load(port: int, clients: int, runs: int, seconds: float) -> Load:
    """Send batches from so many clients, each waiting for its answer, spread over so many runs."""
    templates = [batch(os.urandom(16).hex()) for _ in range(runs)]
    counter = iter(range(1, 1 << 40))
    latencies: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    async def client(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call = channel.unary_unary(METHOD)
            template = templates[number % runs]
            while (before := time.perf_counter()) < end:
                await call(template.replace(MARK, next(counter).to_bytes(6, "big")))
                latencies.append(time.perf_counter() - before)

    await asyncio.gather(*(client(n) for n in range(clients)))
    return Load(time.perf_counter() - start, latencies)


# -- the floor ---------------------------------------------------------------------------------


def serve_floor(port: int, folder: Path) -> None:
    """Parse, append, group fsync; nothing else."""
    folder.mkdir()
    asyncio.run(_serve_floor(port, folder))


async def _serve_floor(port: int, folder: Path) -> None:
    handles: dict[bytes, int] = {}
    writer, syncers = ThreadPoolExecutor(1), ThreadPoolExecutor(8)
    queue: list[tuple[bytes, bytes, asyncio.Future[None]]] = []
    loop = asyncio.get_running_loop()
    running = False

    def write(requests: list[tuple[bytes, bytes]]) -> None:
        dirty = set()
        for trace, payload in requests:
            if trace not in handles:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                handles[trace] = os.open(folder / trace.hex(), flags, 0o644)
            os.write(handles[trace], payload)
            dirty.add(handles[trace])
        if len(dirty) == 1:
            os.fdatasync(dirty.pop())
        else:
            list(syncers.map(os.fdatasync, dirty))

    async def rounds() -> None:
        nonlocal running, queue
        while queue:
            now, queue = queue, []
            await loop.run_in_executor(writer, write, [entry[:2] for entry in now])
            for *_, done in now:
                done.set_result(None)
        running = False

    async def export(payload: bytes, _: aio.ServicerContext) -> bytes:
        nonlocal running
        request = ExportTraceServiceRequest.FromString(payload)
        trace = request.resource_spans[0].scope_spans[0].spans[0].trace_id
        done: asyncio.Future[None] = loop.create_future()
        queue.append((trace, payload, done))
        if not running:
            running = True
            tasks.append(asyncio.create_task(rounds()))
            del tasks[:-1]
        await done
        return b""

    tasks: list[asyncio.Task[None]] = []
    handler = grpc.method_handlers_generic_handler(
        METHOD.split("/")[1], {"Export": grpc.unary_unary_rpc_method_handler(export)}
    )
    server = aio.server(options=[("grpc.max_receive_message_length", 20 << 20)])
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


# -- the servers -------------------------------------------------------------------------------


@dataclass
class Server:
    """A server process under load."""

    name: str
    process: subprocess.Popen[bytes]
    port: int

    def cpu(self) -> float:
        """CPU seconds that it has used, its live children's too."""
        return sum(_cpu(pid) for pid in (self.process.pid, *_children(self.process.pid)))

    def memory(self) -> int:
        """Its own peak resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> None:
        """Stop it and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"The server did not come up: {process.args!r}")


def _start(name: str, port: int, command: list[str]) -> Server:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(port, process)
    return Server(name, process, port)


def start_collector(folder: Path, *options: str) -> Server:
    """spanbook-collector, as it comes."""
    port = _free_port()
    command = [sys.executable, "-m", "spanbook_collector.cli", "--outputs", str(folder / "outputs")]
    command += options
    return _start(
        "spanbook-collector", port, [*command, "--grpc-port", str(port), "--http-port", "0"]
    )


def start_floor(folder: Path) -> Server:
    """The floor, from this file."""
    port = _free_port()
    command = [sys.executable, __file__, "--serve-floor", str(port), str(folder / "floor")]
    return _start("the floor", port, command)


def start_rotel(folder: Path) -> Server:
    """Rotel from a venv of its own, exporting to nothing."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROTEL], check=True)
    (agent,) = (folder / "venv").glob("lib/python*/site-packages/rotel/rotel-agent")
    port, http = _free_port(), _free_port()
    return _start(
        "rotel, blackhole",
        port,
        [
            *(str(agent), "start", "--exporter", "blackhole"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{port}"),
            *("--otlp-http-endpoint", f"127.0.0.1:{http}"),
        ],
    )


# -- the measurement ---------------------------------------------------------------------------


@dataclass
class Turn:
    """One turn of one server under one load."""

    rate: float  # spans a second
    p50: float  # seconds
    p99: float
    cpu: float  # CPU seconds a span


def turn(server: Server, clients: int, runs: int, seconds: float) -> Turn:
    """Put one server under load."""
    before = server.cpu()
    seen = asyncio.run(load(server.port, clients, runs, seconds))
    spans = len(seen.latencies) * SPANS
    ordered = sorted(seen.latencies)
    return Turn(
        rate=spans / seen.seconds,
        p50=statistics.median(ordered),
        p99=ordered[int(len(ordered) * 0.99)],
        cpu=(server.cpu() - before) / spans,
    )


def measure(servers: list[Server], seconds: float, rounds: int) -> Iterator[str]:
    """The table, line by line."""
    yield "| clients → runs | server | spans/s | of the floor | p50 | p99 | CPU a span | peak memory |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for clients, runs in ((1, 1), (4, 1), (16, 1), (16, 16)):
        turns: dict[str, list[Turn]] = {server.name: [] for server in servers}
        for number in range(rounds):
            order = servers if number % 2 == 0 else servers[::-1]
            for server in order:
                turns[server.name].append(turn(server, clients, runs, seconds))
        floor = turns["the floor"]
        for server in servers:
            mine = turns[server.name]
            ratios = [m.rate / f.rate for m, f in zip(mine, floor, strict=True)]
            cells = (
                f"{clients} → {runs}",
                server.name,
                f"{_of(mine, lambda t: t.rate):,.0f}",
                f"{statistics.median(ratios):.0%}",
                f"{_of(mine, lambda t: t.p50) * 1e3:.1f} ms",
                f"{_of(mine, lambda t: t.p99) * 1e3:.1f} ms",
                f"{_of(mine, lambda t: t.cpu) * 1e6:.2f} µs",
                f"{server.memory() / 2**20:.0f} MiB",
            )
            yield f"| {' | '.join(cells)} |"


def _of(turns: list[Turn], figure: Callable[[Turn], float]) -> float:
    return statistics.median(figure(turn) for turn in turns)


def main() -> None:
    """Measure all three, or be the floor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--serve-floor", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS
    )
    parser.add_argument("--seconds", type=float, default=2.5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each server and load")
    parser.add_argument("--without-rotel", action="store_true")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: here)")
    given = parser.parse_args()
    if given.serve_floor:
        serve_floor(int(given.serve_floor[0]), Path(given.serve_floor[1]))
        return
    with tempfile.TemporaryDirectory(prefix=".ingest-", dir=given.folder or Path.cwd()) as name:
        folder = Path(name)
        starts = [start_collector, start_floor, *([] if given.without_rotel else [start_rotel])]
        servers = [start(folder) for start in starts]
        try:
            print(
                f"Each request holds {SPANS} spans of 10 attributes "
                f"({len(batch('0' * 31 + '1')):,} bytes). Each client waits for its answer. "
                f"Medians of {given.rounds} turns of {given.seconds:g} s, the servers in turn; client "
                "and server share the machine.\n"
            )
            for line in measure(servers, given.seconds, given.rounds):
                print(line, flush=True)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
