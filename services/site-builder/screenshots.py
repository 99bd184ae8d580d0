"""Take the pictures of docs/images from sample runs; ``--every`` takes all pages, wide and narrow, light and dark.

usage: python services/site-builder/screenshots.py [--every] [FOLDER]      (default: docs/images)
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, sync_playwright
from spanbook_runfile import names, trim
from spanbook_runfile.samples import golden, many_small, wide, write_samples
from spanbook_site.build import Builder
from spanbook_site.settings import Report, Settings
from spanbook_site.vendor import default_folder

ROOT = Path(__file__).resolve().parents[2]
QUIET = ["--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
NOW = datetime.fromtimestamp(
    golden.START / 1e9 + 7 * 86_400 + 600, UTC
)  # what the pages' clock says
TITLES = (
    "Train on 1200 images as well", "Plot the confusion of 3 and 8", "Pin scikit-learn",
    "Split by writer, not by image", "Say why a benchmark is late", "Log the loss of each epoch",
)  # fmt: skip
SETTINGS = Settings(
    title="mnist-digits-demo-pipeline",
    description="Handwritten digits, trained and benchmarked every day.",
    repository="https://github.com/octo-org/mnist-digits",
    metrics=("benchmark-model.roc_auc_mean", "train_model.accuracy"),
    reports=(Report("Model quality", "summary"),),
    docs=str(ROOT / "docs"),
)


EVERY = ("history", "one", "faults", "empty", "trimmed")


def sites(folder: Path, wanted: Sequence[str] = EVERY) -> dict[str, Path]:
    """A site of the usual kind, one with a single run, one with every fault there is, one over its size."""
    made = {}
    for name in wanted:
        outputs = folder / name
        (outputs / "runs").mkdir(parents=True)
        if name == "history":
            _write_history(outputs)
        elif name == "one":
            (outputs / "runs" / f"{golden.ok().id}.json").write_bytes(golden.ok().sealed())
        elif name == "faults":
            (outputs / "ids").mkdir()
            for sample, path in write_samples(outputs).items():
                (outputs / "ids" / sample).write_text(path.stem)
            large = wide(1000)
            (outputs / "runs" / f"{large.id}.json").write_bytes(large.sealed())
        elif name == "trimmed":
            for day in range(30):
                run = golden.ok(f"old-{day}", start=golden.START - day * golden.DAY)
                suffix, content = (
                    (trim.SUFFIX, trim.trim(run.sealed()))
                    if 5 < day < 12
                    else (".json", run.sealed())
                )
                (outputs / "runs" / f"{run.id}{suffix}").write_bytes(content)
        made[name] = outputs / "site"
        Builder(
            outputs / "runs",
            made[name],
            journals=outputs / "journals",
            settings=replace(SETTINGS, budget_mb=24, mlflow_ui=False)
            if name == "trimmed"
            else SETTINGS,
            vendor=default_folder(),
        ).build()
    return made


def _write_history(outputs: Path) -> None:
    samples = write_samples(outputs, broken=False)
    for odd in ("hostile", "ancient", "distant", "foreign", "empty", "tampered", "wide"):
        samples[odd].unlink()
    for number in range(14):
        commit = hashlib.sha1(f"commit {number // 2}".encode(), usedforsecurity=False).hexdigest()
        run = golden.ok(
            f"day-{number}",
            sizes=(600, 800, 1000, 1200),
            start=golden.START + 6 * golden.DAY + 20 * 3600 * 10**9 - number * golden.DAY,
            gain=-0.002 * (number // 3),
            context={
                names.COMMIT_TITLE: TITLES[number // 2 % len(TITLES)],
                names.REF_REVISION: commit,
            },
        )
        (outputs / "runs" / f"{run.id}.json").write_bytes(run.sealed())
    many_small(outputs / "runs", 1000)


def _task(site: Path, run: str, name: str) -> str:
    summary = json.loads((site / "runs" / run / "summary.json").read_text())
    task = next(t["id"] for t in summary["tasks"] if t["name"] == name)
    return f"runs/{run}/tasks/{task}/index.html"


def documented() -> dict[str, tuple[str, str]]:
    """(site, address) of the pages that the documents show."""
    day = golden.ok("day-0").id
    return {
        "run": ("history", f"runs/{day}/index.html"),
        "runs": ("history", "index.html"),
        "task": ("history", "tasks/train_model/index.html"),
        "compare": ("history", f"compare.html#runs={golden.ok('day-3').id},{day}"),
    }


def pages(made: dict[str, Path]) -> dict[str, tuple[str, str]]:
    """(site, address) of each kind of page and each state worth a look."""
    ok, failed = golden.ok().id, golden.failed().id
    site = made["history"]
    day = golden.ok("day-0").id
    model = next(site.glob(f"runs/{day}/tasks/*/views/*.onnx.html")).relative_to(site).as_posix()
    frame = next(site.glob(f"runs/{day}/tasks/*/views/**/*.ipynb.html")).relative_to(site)
    faults = {
        name: golden_id(name, made)
        for name in (
            "hostile",
            "running",
            "cancelled",
            "interrupted",
            "retried",
            "foreign",
            "empty",
        )
    }
    broken = next(made["faults"].glob("runs/0000*1*/index.html"))
    oldest, younger = (golden.ok(f"old-{day}").id for day in (29, 8))
    return {
        **documented(),
        "failed": ("history", f"runs/{failed}/index.html"),
        "task-run": ("history", _task(site, day, "train_model")),
        "notebook": ("history", _task(site, day, "benchmark-model")),
        "tasks": ("history", "tasks/index.html"),
        "trends": ("history", "trends/index.html"),
        "trend": ("history", "trends/train_model.html"),
        "compare-failed": ("history", f"compare.html#runs={ok},{failed}"),
        "compare-empty": ("history", "compare.html"),
        "reports": ("history", "reports/index.html"),
        "report": ("history", "reports/model-quality.html"),
        "model": ("history", model),
        "about": ("history", "about.html"),
        "docs": ("history", "docs/index.html"),
        "docs-page": ("history", "docs/tutorial.html"),
        "missing": ("history", "404.html"),
        "runs-empty": ("empty", "index.html"),
        "trends-empty": ("empty", "trends/index.html"),
        "tasks-empty": ("empty", "tasks/index.html"),
        "runs-one": ("one", "index.html"),
        "trends-one": ("one", "trends/index.html"),
        "task-one": ("one", "tasks/train_model/index.html"),
        "runs-faults": ("faults", "index.html"),
        **{name: ("faults", f"runs/{key}/index.html") for name, key in faults.items()},
        "task-run-failed": ("history", _task(site, failed, "split_train_test")),
        "task-run-skipped": ("history", _task(site, failed, "train_model")),
        "task-run-running": ("faults", _task(made["faults"], faults["running"], "train_model")),
        "task-run-retried": ("faults", _task(made["faults"], faults["retried"], "ingest")),
        "frame": ("history", frame.as_posix()),
        "history": ("history", "runs/runs/0004.html"),
        "broken": ("faults", broken.relative_to(made["faults"]).as_posix()),
        "stub": ("trimmed", f"runs/{oldest}/index.html"),
        "trimmed": ("trimmed", f"runs/{younger}/index.html"),
        "run-1000-tasks": ("faults", f"runs/{wide(1000).id}/index.html"),
        "run-60-tasks": ("faults", f"runs/{wide(60).id}/index.html"),
    }


def golden_id(name: str, made: dict[str, Path]) -> str:
    """The id of a sample run, by its name."""
    return (made["faults"].parent / "ids" / name).read_text()


def shots(made: dict[str, Path], *, every: bool) -> list[tuple[str, str, str, int, str]]:
    """(name, site, address, width, colour scheme) of each picture."""
    if every:
        return [
            (f"{name}-{width}-{scheme}", *where, width, scheme)
            for name, where in pages(made).items()
            for width in (1280, 390)
            for scheme in ("light", "dark")
        ]
    found = documented()
    return [
        *((name, *where, 1280, "light") for name, where in found.items()),
        ("run-dark", *found["run"], 1280, "dark"),
        ("runs-phone", *found["runs"], 390, "light"),
    ]


def take(browser: Browser, made: dict[str, Path], target: Path, *, every: bool) -> None:
    """Take every picture; what the page says on its console is told."""
    for name, site, address, width, scheme in shots(made, every=every):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale="en-GB",  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.clock.set_fixed_time(NOW)
        page.on("console", lambda message, name=name: _told(name, message))
        path, _, fragment = address.partition("#")
        page.goto((made[site] / path).as_uri() + (f"#{fragment}" if fragment else ""))
        page.wait_for_timeout(600)
        most = 2400 if every else 1500
        page.set_viewport_size({"width": width, "height": most})  # what is lazy comes into sight
        page.wait_for_timeout(900)
        page.set_viewport_size({"width": width, "height": page.evaluate(ENDS, most)})
        page.screenshot(path=target / f"{name}.png")
        context.close()


# Where a picture of at most so many pixels ends: with a section or a row, not amid one.
ENDS = """most => {
  const whole = Math.ceil(document.body.getBoundingClientRect().bottom + scrollY);
  if (whole <= most) return Math.max(400, whole);
  const bottom = (part) => Math.floor(part.getBoundingClientRect().bottom + scrollY);
  const below = (parts, room) => [...document.querySelectorAll(parts)].map((part) => bottom(part) + room);
  const ends = [...below("main > *, main section", 16), ...below("tr, main li", 0)];
  return Math.max(400, ...ends.filter((end) => end <= most));
}"""


def _told(name: str, message: ConsoleMessage) -> None:
    if message.type == "error":
        sys.stderr.write(f"{name}: {message.text}\n")


def main() -> None:
    """Build the sample sites and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument(
        "--every", action="store_true", help="all pages, wide and narrow, light and dark"
    )
    asked = parser.parse_args()
    target: Path = asked.folder
    target.mkdir(parents=True, exist_ok=True)
    path = (
        os.environ.get("SPANBOOK_CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    )
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = sites(Path(folder), EVERY if asked.every else EVERY[:1])
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        take(browser, made, target, every=asked.every)
        browser.close()


if __name__ == "__main__":
    main()
