"""The site: cold builds, one run more on top of histories of any length, memory, and the home page in Chromium.

usage: python bench/site.py [--quick] [--part NAME]... [--folder DIR]        prints Markdown

The whole takes a quarter of an hour; ``--part`` measures a piece of it, and ``--folder`` keeps the
histories for the next.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright
from spanbook_runfile.samples import golden, many
from spanbook_runfile.samples.builder import SampleRun

BUILDER = Path(sys.executable).with_name("spanbook-site")
VIEWER = Path(sys.executable).with_name("spanbook-viewer")
SIZES = (600, 800, 1000, 1200)  # of the demo's ci parameters: 12 tasks, 6 notebooks


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds of the clock and of the CPU, and MB resident at most."""

    wall: float
    cpu: float
    memory: float


def measured(*command: object) -> Cost:
    """Run a command and measure it with its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(c) for c in command], check=True, stdout=sys.stderr)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, after.ru_maxrss / 1024)


def build(outputs: Path) -> Cost:
    """Bring a site up to date."""
    return measured(
        BUILDER, "build", "--quiet", "--runs", outputs / "runs", "--out", outputs / "site"
    )


def written(outputs: Path, runs: Iterator[SampleRun]) -> int:
    """Write run files; how many."""
    (outputs / "runs").mkdir(parents=True, exist_ok=True)
    count = 0
    for run in runs:
        (outputs / "runs" / f"{run.id}.json").write_bytes(run.sealed())
        count += 1
    return count


def demo(count: int) -> Iterator[SampleRun]:
    """Demo runs, one a day."""
    for number in range(count):
        yield golden.ok(f"demo-{number}", sizes=SIZES, start=golden.START - number * golden.DAY)


def extra(number: int) -> Iterator[SampleRun]:
    """One demo run, newer than all."""
    yield golden.ok(f"extra-{number}", sizes=SIZES, start=golden.START + (1 + number) * golden.DAY)


def size_mb(folder: Path) -> float:
    """Bytes on disk below a folder, hard links once."""
    seen = {
        (s.st_dev, s.st_ino): s.st_size
        for p in folder.rglob("*")
        if p.is_file()
        for s in [p.stat()]
    }
    return sum(seen.values()) / 1e6


def cold(folder: Path, name: str, runs: Iterator[SampleRun]) -> None:
    """Build a whole history, then nothing, and tell."""
    outputs = folder / name.replace(" ", "-")
    count = written(outputs, runs)
    cost, again = build(outputs), build(outputs)
    print(
        f"| {count:,} {name} | {cost.wall:.0f} | {cost.cpu / count:.3f} | {cost.memory:.0f} | "
        f"{size_mb(outputs / 'site') / count:.2f} | {again.wall:.2f} |"
    )


def one_more(outputs: Path, count: int) -> None:
    """Add one demo run to a history of small ones; the median of three."""
    costs = []
    for _ in range(3):
        written(outputs, extra(len(list((outputs / "runs").iterdir())) - count))
        costs.append(build(outputs))
    cost = sorted(costs, key=lambda c: c.wall)[1]
    print(f"| {count:,} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.memory:.0f} |")


def home(site: Path) -> None:
    """The home page in Chromium: bytes of the first view, time until usable, of a filter and of a sort."""
    arguments = ["--no-sandbox", "--disable-gpu"] if os.geteuid() == 0 else ["--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(unquote(urlsplit(request.url).path)))
        page.goto((site / "index.html").as_uri(), wait_until="networkidle")
        gzip = sum(_gzip(Path(path)) for path in asked if Path(path).is_file())
        usable = page.evaluate(
            "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        )
        page.evaluate("spanbook.tables.get(document.querySelector('#runs')).loadAll()")
        times = page.evaluate(TIMED)
        browser.close()
    print(f"| first view, gzip kB | {gzip / 1000:.0f} |")
    print(f"| usable after, ms | {usable:.0f} |")
    for name, took in times.items():
        print(f"| {name}, ms | {took:.0f} |")
    run = max(site.glob("runs/*/index.html"), key=lambda page: page.stat().st_size)
    print(f"| the largest page of a run, without figures, gzip kB | {_gzip(run) / 1000:.0f} |")


TIMED = """() => {
  const table = spanbook.tables.get(document.querySelector("#runs"));
  const took = {};
  const views = {
    "sort by a number": { sort: "-duration" }, "sort by text": { sort: "title" },
    "search": { q: "number 42" }, "filter": { "f.duration": "<4" },
  };
  for (const [name, view] of Object.entries(views)) {
    table.change({ sort: null, q: null, "f.duration": null });
    const start = performance.now();
    table.change(view);
    document.body.getBoundingClientRect();
    took[name] = performance.now() - start;
  }
  return took;
}"""


def _gzip(path: Path) -> int:
    import zlib

    packer = zlib.compressobj(6, wbits=31)
    return len(packer.compress(path.read_bytes()) + packer.flush())


def built(folder: Path, count: int) -> Path:
    """The site of a history of small runs, made once."""
    outputs = folder / f"history-{count}"
    if not (outputs / "site" / "index.html").exists():
        written(outputs, many(count))
        build(outputs)
    return outputs


CATEGORIES = ("performance", "accessibility", "best-practices")
TURNS = 3  # each page so often, as scores vary by a point or three


def lighthouse(outputs: Path) -> None:
    """Lighthouse's scores of Runs, Run and Task run on a viewer: npm's ``lighthouse`` on the PATH."""
    command = shutil.which("lighthouse")
    if command is None:
        print(
            "Not measured: there is no `lighthouse` on the PATH (npm install --global lighthouse)."
        )
        return
    newest = golden.ok("demo-0", sizes=SIZES).id
    task = next((outputs / "site" / "runs" / newest / "tasks").iterdir()).name
    pages = {
        "Runs": "index.html",
        "Run": f"runs/{newest}/index.html",
        "Task run": f"runs/{newest}/tasks/{task}/index.html",
    }
    print(f"Medians of {TURNS} turns.\n")
    print(f"| Lighthouse | form | {' | '.join(CATEGORIES)} |\n| --- | --- | --- | --- | --- |")
    (outputs / "viewer.json").unlink(missing_ok=True)  # of the last time
    viewer = subprocess.Popen(
        [VIEWER, "--site", outputs / "site", "--runs", outputs / "runs", "--port", "0",
         "--ready-file", outputs / "viewer.json"], stdout=sys.stderr,
    )  # fmt: skip
    try:
        while not (outputs / "viewer.json").exists():
            time.sleep(0.05)
        url = json.loads((outputs / "viewer.json").read_text())["url"]
        for name, address in pages.items():
            for form in ("desktop", "mobile"):
                turns = [_scores(command, url + address, form) for _ in range(TURNS)]
                scores = [f"{statistics.median(scores):.0f}" for scores in zip(*turns, strict=True)]
                print(f"| {name} | {form} | {' | '.join(scores)} |", flush=True)
    finally:
        viewer.terminate()
        viewer.wait()


def _scores(command: str, url: str, form: str) -> list[float]:
    flags = "--headless=new --disable-gpu" + (" --no-sandbox" if os.geteuid() == 0 else "")
    done = subprocess.run(
        [command, url, "--quiet", "--output=json", f"--only-categories={','.join(CATEGORIES)}",
         f"--chrome-flags={flags}", *(["--preset=desktop"] if form == "desktop" else [])],
        env={**os.environ, "CHROME_PATH": shutil.which("chromium") or ""},
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)["categories"]
    return [found[category]["score"] * 100 for category in CATEGORIES]


def other_columns(outputs: Path) -> None:
    """Add a run that brings parameters and metrics which no run had."""
    run = golden.ok(f"columns-{time.time_ns()}", sizes=SIZES, start=golden.START + 99 * golden.DAY)
    attempt = run.task("train_model").attempt(1.0)
    attempt.parameters(1.1, **{f"depth_{time.time_ns()}": 3})
    attempt.metric(1.2, f"recall_{time.time_ns()}", 0.5)
    attempt.end(2.0)
    written(outputs, iter([run]))
    cost = build(outputs)
    print(
        f"| the last, a run with new columns | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.memory:.0f} |"
    )


PARTS = ("demo", "small", "add", "home", "lighthouse")


def measure(part: str, folder: Path, share: int) -> None:
    """Print one part's table, of one in ``share`` of the runs."""
    most = 10_000 // share
    if part in ("demo", "small"):
        print(
            "| cold build | seconds | CPU-s a run | MB resident | MB on disk a run | nothing new, s |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        runs, name = (
            (demo(1000 // share), "demo runs (ci)")
            if part == "demo"
            else (many(most), "small runs")
        )
        cold(folder, name, runs)
    elif part == "add":
        print(
            "| one demo run more, on top of | seconds | CPU-s | MB resident |\n| --- | --- | --- | --- |"
        )
        for count in (10, 1000 // share, most):
            one_more(built(folder, count), count)
        other_columns(built(folder, most))
    elif part == "lighthouse":
        outputs = folder / "lighthouse"
        written(outputs, demo(10))
        written(outputs, many(300))
        build(outputs)
        lighthouse(outputs)
    else:
        print(f"| the home page of {most:,} runs | |\n| --- | --- |")
        home(built(folder, most) / "site")
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default all")
    parser.add_argument("--folder", type=Path, help="keep the histories here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for part in asked.part or PARTS:
            measure(part, asked.folder or Path(name), 10 if asked.quick else 1)


if __name__ == "__main__":
    main()
