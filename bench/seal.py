"""The seal, beside a parser: how long a journal takes to become a run file of about 100 MB.

Measured by turns with ``orjson.loads`` of the very bytes that the seal gave, each in a process of
its own: parsing is the cheapest that any reader does with them. Prints a Markdown table.
"""

import argparse
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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


def compare(title: str, journal: Path, runs: Path, repeats: int) -> None:
    """All ways by turns; prints a row each, medians."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, told in found.items():
            command = [sys.executable, __file__, "--once", way, str(journal), str(runs)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            told.append(json.loads(out))
    size = (runs / f"{RUN}.json").stat().st_size / 1e6
    base = statistics.median(told["cpu"] for told in found["seal"])
    for way, told in found.items():
        wall, cpu, memory = (
            statistics.median(one[key] for one in told) for key in ("wall", "cpu", "memory")
        )
        times = f"seal takes {base / cpu:.1f} times its CPU" if way != "seal" else ""
        print(
            f"| {title}, {size:.0f} MB | {WAYS[way]} | {wall:.2f} | {cpu:.2f} | {size / cpu:.0f} "
            f"| {memory:.0f} | {times} |"
        )


def main() -> None:
    """Measure both kinds of run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--once", nargs=3, metavar=("WAY", "JOURNAL", "RUNS"), help=argparse.SUPPRESS
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--megabytes", type=int, default=100, help="size of each run file")
    options = parser.parse_args()
    if options.once:
        measure(options.once[0], Path(options.once[1]), Path(options.once[2]))
        return
    print("| run | way | s | CPU s | MB/CPU s | MB of memory | |")
    print("| - | - | -: | -: | -: | -: | - |")
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "bench.journal"
        small_spans(journal, options.megabytes * 1_000_000 // 809)
        compare("small spans", journal, Path(folder), options.repeats)
        large_artifacts(journal, max(1, options.megabytes * 3 // 4))
        compare("large artifacts", journal, Path(folder), options.repeats)
    print(
        f"\nMedians of {options.repeats}, taken by turns, each in a process of its own. Memory is the "
        "growth of the resident set at its highest; a parser's starts after the file's bytes were "
        "read. The goal is a seal within 2 times of `orjson.loads`."
    )


if __name__ == "__main__":
    main()
