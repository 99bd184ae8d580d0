"""The MLflow part with ten thousand runs: size, first rows, and how long sorting and filtering take.

    python bench/mlflow_ui.py [--runs 10000] [--keep DIR]

Serves a generated site on a plain static server and times real requests in a real Chromium, with
the UI's own first page for "first rows".
"""

import argparse
import functools
import gzip
import http.server
import json
import os
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from spanbook_site import mlflow
from spanbook_site.mlflow.records import Record
from spanbook_site.output import Output

EXPERIMENT = mlflow.experiment_id("bench", "train")
START = 1_700_000_000_000
HOUR = 3_600_000
SEARCH = """async (request) => {
  const times = [];
  let found;
  for (let i = 0; i < 7; i += 1) {
    const began = performance.now();
    found = await spanbookMlflow.searchRuns({ max_results: 100, ...request });
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return [times[3], (found.runs ?? []).length];
}"""


def record(rng: random.Random, number: int) -> Record:
    start = START + number * HOUR
    run = f"{rng.getrandbits(128):032x}"
    loss = [(step, start + 100 * step, rng.random() / (step + 1)) for step in range(10)]
    return Record(
        id=f"{run}{rng.getrandbits(64):016x}",
        experiment=EXPERIMENT,
        experiment_name="bench/train",
        name=f"train {run[:7]}",
        status="FINISHED",
        user="ada",
        start=start,
        end=start + 60_000,
        params={f"p{n}": str(rng.randrange(10)) for n in range(8)},
        tags={
            "mlflow.runName": f"train {run[:7]}",
            "mlflow.source.git.commit": f"{rng.getrandbits(160):040x}",
        },
        histories={"loss": loss, **{f"m{n}": [(0, start, rng.random())] for n in range(8)}},
    )


def build(site: Path, count: int) -> float:
    rng = random.Random(0)
    output = Output(site)
    entries = []
    for number in range(count):
        made = record(rng, number)
        run = made.id[:32]
        mlflow.write_records(output, run, [made], {EXPERIMENT: "index.html"})
        entries.append(mlflow.Entry(run, made.start, "1"))
    began = time.perf_counter()
    assert mlflow.write_site(lambda _name, _key, out, write: write(out), output, entries)
    return time.perf_counter() - began


def sizes(folder: Path) -> tuple[int, int, int]:
    """Files, bytes stored, and bytes as a host's gzip sends them."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return len(contents), sum(map(len, contents)), sum(len(gzip.compress(c, 6)) for c in contents)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    tables = build(folder, options.runs)
    print(f"tables of {options.runs:,} runs: {tables:.1f} s")
    for name in ("mlflow/static-files", "mlflow/shim", "mlflow/data"):
        files, stored, sent = sizes(folder / name)
        print(f"{name}: {files} files, {stored / 1e6:.1f} MB stored, {sent / 1e6:.2f} MB gzipped")
    largest = max(path.stat().st_size for path in (folder / "mlflow" / "data").rglob("*.json"))
    print(f"largest data file: {largest / 1e6:.2f} MB")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        measure(f"http://127.0.0.1:{server.server_port}/mlflow/index.html")
        server.shutdown()
    if not options.keep:
        shutil.rmtree(folder)


def measure(url: str) -> None:
    path = os.environ.get("SPANBOOK_CHROMIUM") or shutil.which("chromium")
    args = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args)
        for visit in ("first", "second"):
            page = browser.new_page() if visit == "first" else page  # noqa: F821
            page.goto("about:blank")
            began = time.perf_counter()
            page.goto(f"{url}#/experiments/{EXPERIMENT}/runs")
            page.wait_for_selector(".ag-row", timeout=60_000)
            print(f"first rows, {visit} visit: {time.perf_counter() - began:.2f} s")
        requests = {
            "load all": {"filter": "metrics.m0 >= 0"},
            "filter by metric": {"filter": "metrics.m0 > 0.99"},
            "filter by metric and parameter": {"filter": "metrics.m1 > 0.5 and params.p1 = '3'"},
            "filter by text": {"filter": "tags.`mlflow.runName` ILIKE '%AB%'"},
            "sort by metric": {"order_by": ["metrics.m3 DESC"]},
            "sort by parameter and metric": {"order_by": ["params.p2 ASC", "metrics.m2 DESC"]},
            "sort by name": {"order_by": ["attributes.run_name ASC"]},
        }
        for name, request in requests.items():
            took, found = page.evaluate(SEARCH, {"experiment_ids": [EXPERIMENT], **request})
            print(f"{name}: {took:.1f} ms, {found} rows {json.dumps(request)}")
        browser.close()


if __name__ == "__main__":
    main()
