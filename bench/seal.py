"""The seal, beside a parser: how long a journal takes to become a run file of about 100 MB.

A run of five times that size tells that memory does not grow with the bytes, and what another
client notices of a seal.

Measured by turns with ``orjson.loads`` of the very bytes that the seal gave, each in a process of
its own: parsing is the cheapest that any reader does with them. Prints a Markdown table.
"""

import argparse
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import ingest
import orjson
from spanbook_runfile import encode, names
from spanbook_runfile.journal import MAGIC, Signal, frame
from spanbook_runfile.merge import seal_journal
from spanbook_runfile.names import Event, SealReason

RUN = "5b8efff798038103d269b633813fc60c"
START = 1_790_000_000_000_000_000
REPEATS = 5
WAYS = {
    "seal": "`seal_journal`, with fsync",
    "loads": "`orjson.loads`",
    "loads-no-gc": "`orjson.loads`, garbage collector off",
}


def small_spans(path: Path, count: int) -> None:
    """A journal of spans of ten attributes, half of them ever new; about 800 bytes each as JSON."""
    rng = random.Random(1)
    owner = encode.resource({names.SERVICE_NAME: "bench", names.PIPELINE_RUN_ID: RUN})
    time_ = START
    with path.open("wb") as stream:
        stream.write(MAGIC)
        for begin in range(0, count, 512):
            spans = []
            for number in range(begin, min(begin + 512, count)):
                time_ += rng.randrange(1_000_000)
                attrs = {
                    "http.request.method": "GET",
                    "http.route": "/items/{id}",
                    "server.address": "shop.example",
                    "url.scheme": "https",
                    "url.path": f"/items/{number}",
                    "user.id": f"user-{rng.randrange(10_000)}",
                    "http.response.status_code": 200,
                    "http.response.body.size": rng.randrange(100_000),
                    "score": rng.random(),
                    "cached": number % 2 == 0,
                }
                span = encode.span(
                    run_id=RUN,
                    span_id=f"{number + 1:016x}",
                    parent_id=f"{number // 9 + 1:016x}",
                    name=f"step {number % 20}",
                    start=time_
                    - rng.randrange(10**9),  # sent in order of end: the seal has to sort
                    end=time_,
                    attrs=attrs,
                )
                spans.append(span)
            request = encode.trace_request(owner, spans).SerializeToString()
            stream.write(frame(Signal.TRACES, request))


def large_artifacts(path: Path, mebibytes: int) -> None:
    """A journal of artifacts' chunks of 1 MiB."""
    rng = random.Random(2)
    owner = encode.resource({names.SERVICE_NAME: "bench", names.PIPELINE_RUN_ID: RUN})
    with path.open("wb") as stream:
        stream.write(MAGIC)
        for number in range(mebibytes):
            record = encode.log_record(
                run_id=RUN,
                span_id="00000000000000aa",
                record_id=f"aa-{number}",
                time=START + number,
                event=Event.ARTIFACT,
                body=rng.randbytes(names.ARTIFACT_CHUNK_BYTES),
                attrs={names.ARTIFACT_PATH: "model.bin", names.CHUNK_INDEX: number},
            )
            request = encode.logs_request(owner, [record]).SerializeToString()
            stream.write(frame(Signal.LOGS, request))


def measure(way: str, journal: Path, runs: Path) -> None:
    """Do it once; print seconds, CPU-seconds and the growth of resident memory in MB."""
    target = runs / f"{RUN}.json"
    content = b"" if way == "seal" else target.read_bytes()
    action: Callable[[], object] = {
        "seal": lambda: seal_journal(journal, runs, RUN, SealReason.IDLE),
        "loads": lambda: orjson.loads(content),
        "loads-no-gc": lambda: orjson.loads(content),
    }[way]
    if way == "loads-no-gc":
        gc.disable()
    if way == "seal":
        target.unlink(missing_ok=True)  # a run file never takes another's place
    scale = 1e6 if sys.platform == "darwin" else 1e3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    kept = action()
    told = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / scale,
    }
    del kept
    print(json.dumps(told))


def compare(title: str, journal: Path, runs: Path, repeats: int, ways: Sequence[str]) -> None:
    """The ways by turns; prints a row each, medians."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, told in found.items():
            command = [sys.executable, __file__, "--once", way, str(journal), str(runs)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            told.append(json.loads(out))
    size = (runs / f"{RUN}.json").stat().st_size / 1e6
    base = {key: statistics.median(told[key] for told in found["seal"]) for key in ("wall", "cpu")}
    for way, told in found.items():
        wall, cpu, memory = (
            statistics.median(one[key] for one in told) for key in ("wall", "cpu", "memory")
        )
        times = f"{base['wall'] / wall:.1f}, CPU {base['cpu'] / cpu:.1f}" if way != "seal" else ""
        print(
            f"| {title}, {size:.0f} MB | {WAYS[way]} | {wall:.2f} | {cpu:.2f} | {size / cpu:.0f} "
            f"| {memory:.0f} | {times} |"
        )


def beside_a_seal(journal: Path, folder: Path) -> None:
    """A client's latency in a collector that seals this journal, and in one that does not."""
    payload = ingest.batch(os.urandom(16).hex())
    waited: dict[bool, list[float]] = {True: [], False: []}
    (folder / "outputs" / "journals").mkdir(parents=True)
    journal.rename(folder / "outputs" / "journals" / f"{RUN}.journal")
    target = folder / "outputs" / "runs" / f"{RUN}.json"
    server = ingest.start_collector(folder, "--idle", "2")  # by the time of the file
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(ingest.METHOD)
            end = time.monotonic() + 600
            while len(waited[False]) < 300 and time.monotonic() < end:
                sealing = not target.exists()
                begun = time.perf_counter()
                number = sum(map(len, waited.values())) + 1
                call(payload.replace(ingest.MARK, number.to_bytes(6, "big")))
                waited[sealing].append(time.perf_counter() - begun)
        memory = server.memory() / 1e6
    finally:
        server.stop()
    for sealing, times in waited.items():
        ordered = sorted(times)
        print(
            f"| {'while it is sealed' if sealing else 'afterwards'} | {len(ordered)} "
            f"| {statistics.median(ordered) * 1e3:.1f} ms | {ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms "
            f"| {ordered[-1] * 1e3:.1f} ms | {memory:.0f} MB |"
        )


def main() -> None:
    """Measure both kinds of run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--once", nargs=3, metavar=("WAY", "JOURNAL", "RUNS"), help=argparse.SUPPRESS
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: here)")
    parser.add_argument("--megabytes", type=int, default=100, help="size of each run file")
    options = parser.parse_args()
    if options.once:
        measure(options.once[0], Path(options.once[1]), Path(options.once[2]))
        return
    print(
        "| run | way | s | CPU s | MB/CPU s | MB of memory | the seal takes so many times its time |"
    )
    print("| - | - | -: | -: | -: | -: | - |")
    with tempfile.TemporaryDirectory(prefix=".seal-", dir=options.folder or Path.cwd()) as name:
        folder, size = Path(name), options.megabytes
        journal = folder / "bench.journal"
        for factor, repeats, ways in ((1, options.repeats, tuple(WAYS)), (5, 1, ("seal",))):
            small_spans(journal, factor * size * 1_000_000 // 809)
            compare("small spans", journal, folder, repeats, ways)
            large_artifacts(journal, max(1, factor * size * 3 // 4))
            compare("large artifacts", journal, folder, repeats, ways)
        print(
            f"\nAnother client, batches of {ingest.SPANS} spans, beside the seal of the last:\n\n"
            "| | requests | p50 | p99 | longest | collector's peak memory |\n"
            "| - | -: | -: | -: | -: | -: |"
        )
        beside_a_seal(journal, folder)
    print(
        f"\nMedians of {options.repeats}, taken by turns, each in a process of its own. Memory is the "
        "growth of the resident set at its highest; a parser's starts after the file's bytes were "
        "read. The goal is a seal within 2 times of `orjson.loads` of the same bytes. The seal sorts, "
        "hashes, writes and fsyncs, too; Python's garbage collector runs in it as it comes."
    )


if __name__ == "__main__":
    main()
