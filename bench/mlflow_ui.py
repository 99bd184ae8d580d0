"""The MLflow part with ten thousand runs: size, first rows, and how long sorting and filtering take.

    python bench/mlflow_ui.py [--runs 10000] [--keep DIR]

Serves a generated site on a plain static server and times real requests in a real Chromium, with
the UI's own first page for "first rows". With SPANBOOK_MLFLOW_PYTHON (a Python that has the pinned
MLflow) the first rows of MLflow's own server are timed in turn with ours, as the floor that the UI
itself sets: the server holds the newest runs alone, a few pages of them.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from spanbook_site import mlflow
from spanbook_site.mlflow.records import Record
from spanbook_site.output import Output

sys.path.insert(0, str(Path(__file__).parents[1] / "services/site-builder/tests/mlflow"))
from mlflow_twins import real_server, static_server

FLOOR_RUNS = 300
VISITS = 3
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


def build(site: Path, records: list[Record]) -> float:
    """Write the site's data of runs; seconds for all that spans them."""
    output = Output(site)
    entries = []
    for made in records:
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
    rng = random.Random(0)
    records = [record(rng, number) for number in range(options.runs)]
    tables = build(folder / "www", records)
    print(f"tables of {options.runs:,} runs: {tables:.1f} s")
    for name in ("mlflow/static-files", "mlflow/data"):
        files, stored, sent = sizes(folder / "www" / name)
        print(f"{name}: {files} files, {stored / 1e6:.1f} MB stored, {sent / 1e6:.2f} MB gzipped")
    largest = max(path.stat().st_size for path in (folder / "www/mlflow/data").rglob("*.json"))
    print(f"largest data file: {largest / 1e6:.2f} MB")
    with ExitStack() as stack:
        served = stack.enter_context(static_server(folder / "www"))
        places = {"site": f"{served.url}mlflow/index.html"}
        if os.environ.get("SPANBOOK_MLFLOW_PYTHON"):
            (folder / "server").mkdir()
            newest = {made.id[:32]: [made] for made in records[-FLOOR_RUNS:]}
            places["server"] = stack.enter_context(real_server(folder / "server", newest)).url
        measure(places)
    if not options.keep:
        shutil.rmtree(folder)


def first_rows(browser: Browser, url: str) -> tuple[float, float]:
    """Seconds to the first rows: with nothing of the site in the browser yet, and once more."""
    page = browser.new_context().new_page()
    took = []
    for _ in range(2):
        page.goto("about:blank")
        began = time.perf_counter()
        page.goto(f"{url}#/experiments/{EXPERIMENT}/runs", wait_until="commit")
        page.wait_for_selector(".ag-row", timeout=60_000)
        took.append(time.perf_counter() - began)
    page.context.close()
    return took[0], took[1]


def measure(places: dict[str, str]) -> None:
    """Time the first rows of every place in turn, then the site's searches."""
    path = os.environ.get("SPANBOOK_CHROMIUM") or shutil.which("chromium")
    args = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args)
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
        for _ in range(VISITS):
            for name, url in places.items():
                took[name].append(first_rows(browser, url))
        for name, visits in took.items():
            for which, seconds in zip(("first", "second"), zip(*visits, strict=True), strict=True):
                all_of = ", ".join(f"{second:.2f}" for second in sorted(seconds))
                print(
                    f"first rows, {name}, {which} visit: {statistics.median(seconds):.2f} s of {all_of}"
                )
        page = browser.new_page()
        page.goto(f"{places['site']}#/experiments/{EXPERIMENT}/runs")
        page.wait_for_selector(".ag-row", timeout=60_000)
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
