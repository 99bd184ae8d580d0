"""Take the pictures of docs/images from sample runs: every kind of page, wide, narrow, light and dark.

usage: python services/site-builder/screenshots.py [FOLDER]      (default: docs/images)
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, sync_playwright
from spanbook_runfile.samples import golden, many_small, wide, write_samples
from spanbook_site.build import Builder
from spanbook_site.settings import Report, Settings
from spanbook_site.vendor import default_folder

ROOT = Path(__file__).resolve().parents[2]
QUIET = ["--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
SETTINGS = Settings(
    title="mnist-digits-demo-pipeline",
    description="Handwritten digits, trained and benchmarked every day.",
    repository="https://github.com/octo-org/mnist-digits",
    metrics=("benchmark-model.roc_auc_mean", "train_model.accuracy"),
    reports=(Report("Model quality", "summary"),),
)


def sites(folder: Path) -> dict[str, Path]:
    """A site of the usual kind, one with a single run, and one with every fault there is."""
    made = {}
    for name in ("history", "one", "faults"):
        outputs = folder / name
        (outputs / "runs").mkdir(parents=True)
        if name == "history":
            _write_history(outputs)
        elif name == "one":
            (outputs / "runs" / f"{golden.ok().id}.json").write_bytes(golden.ok().sealed())
        else:
            write_samples(outputs)
            large = wide(1000)
            (outputs / "runs" / f"{large.id}.json").write_bytes(large.sealed())
        made[name] = outputs / "site"
        Builder(
            outputs / "runs",
            made[name],
            journals=outputs / "journals",
            settings=SETTINGS,
            vendor=default_folder(),
        ).build()
    return made


def _write_history(outputs: Path) -> None:
    samples = write_samples(outputs, broken=False)
    for odd in ("hostile", "ancient", "distant", "foreign", "empty", "tampered", "wide"):
        samples[odd].unlink()
    for number in range(14):
        run = golden.ok(
            f"day-{number}",
            sizes=(600, 800, 1000, 1200),
            start=golden.START - number * golden.DAY,
            gain=-0.002 * number,
        )
        (outputs / "runs" / f"{run.id}.json").write_bytes(run.sealed())
    many_small(outputs / "runs", 300)


def _task(site: Path, run: str, name: str) -> str:
    summary = json.loads((site / "runs" / run / "summary.json").read_text())
    task = next(t["id"] for t in summary["tasks"] if t["name"] == name)
    return f"runs/{run}/tasks/{task}/index.html"


def shots(made: dict[str, Path]) -> list[tuple[str, str, str, int, str]]:
    """(name, site, address, width, colour scheme) of each picture."""
    ok, failed = golden.ok().id, golden.failed().id
    site = made["history"]
    pages = {
        "runs": "index.html",
        "run": f"runs/{ok}/index.html",
        "failed": f"runs/{failed}/index.html",
        "task-run": _task(site, ok, "train_model"),
        "notebook": _task(site, ok, "benchmark-model"),
        "task": "tasks/train_model/index.html",
        "trends": "trends/index.html",
        "compare": f"compare.html#runs={ok},{failed}",
    }
    wanted = [(name, "history", address, 1280, "light") for name, address in pages.items()]
    wanted += [(f"{name}-dark", "history", pages[name], 1280, "dark") for name in ("runs", "run")]
    wanted += [
        (f"{name}-phone", "history", pages[name], 390, "light")
        for name in ("runs", "run", "task-run")
    ]
    wanted.append(("runs-one", "one", "index.html", 1280, "light"))
    wanted.append(("runs-faults", "faults", "index.html", 1280, "light"))
    wanted.append(("run-1000-tasks", "faults", f"runs/{wide(1000).id}/index.html", 1280, "light"))
    wanted.append(("run-60-tasks", "faults", f"runs/{wide(60).id}/index.html", 1280, "light"))
    return wanted


def take(browser: Browser, made: dict[str, Path], target: Path) -> None:
    """Take every picture; what the page says on its console is told."""
    for name, site, address, width, scheme in shots(made):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale="en-GB",  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.on("console", lambda message, name=name: _told(name, message))
        path, _, fragment = address.partition("#")
        page.goto((made[site] / path).as_uri() + (f"#{fragment}" if fragment else ""))
        page.wait_for_timeout(600)
        height = min(page.evaluate("document.documentElement.scrollHeight"), 2400)
        page.set_viewport_size(
            {"width": width, "height": height}
        )  # lazy figures and charts come into sight
        page.wait_for_timeout(900)
        page.screenshot(path=target / f"{name}.png")
        context.close()


def _told(name: str, message: ConsoleMessage) -> None:
    if message.type == "error":
        sys.stderr.write(f"{name}: {message.text}\n")


def main() -> None:
    """Build the sample sites and take the pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    path = (
        os.environ.get("SPANBOOK_CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    )
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = sites(Path(folder))
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        take(browser, made, target)
        browser.close()


if __name__ == "__main__":
    main()
