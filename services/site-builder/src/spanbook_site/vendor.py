"""The browser libraries: npm fetches them by version and digest from ``package-lock.json``.

Only what pages load is copied into the site. Without them it works: tables stand where charts
would be, and a model's page offers the file.
"""

import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from spanbook_site.errors import VendorError

FILES = {  # name under static/vendor/ → path under node_modules/
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "LICENSE-uplot.txt": "uplot/LICENSE",
    "ort.wasm.min.js": "onnxruntime-web/dist/ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
}
LOCK = ("package.json", "package-lock.json")


def _package() -> Path:
    return Path(str(resources.files("spanbook_site")))


def _lock_folder() -> Path:
    """Where the lock file is: in the installed package, else in the checkout."""
    installed = _package() / "npm"
    return installed if installed.is_dir() else _package().parents[1]


def default_folder() -> Path:
    """``$SPANBOOK_VENDOR``, else the checkout's ``node_modules``, else a folder of the user's cache."""
    if named := os.environ.get("SPANBOOK_VENDOR"):
        return Path(named)
    checkout = _lock_folder() / "node_modules"
    if checkout.is_dir():
        return checkout
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path.home() fails for a user without a home
    return Path(base) / "spanbook" / "node_modules"


def found(folder: Path) -> dict[str, Path]:
    """The libraries' files that are there, by name."""
    return {name: folder / path for name, path in FILES.items() if (folder / path).is_file()}


def fetch(folder: Path) -> Path:
    """Let npm install the locked libraries into a folder called ``node_modules``.

    Raises:
        VendorError: npm is not there, or failed.
    """
    if folder.name != "node_modules":
        folder = folder / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError(
            "npm was not found on the PATH; it fetches the chart library and the model runtime for pages. "
            "Install Node.js, or leave it: the site then shows tables where charts would be."
        )
    place = folder.parent
    place.mkdir(parents=True, exist_ok=True)
    for name in LOCK:
        if place != _lock_folder():
            shutil.copy(_lock_folder() / name, place)
    command = [
        npm,
        "ci",
        "--prefix",
        str(place),
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VendorError(f"npm could not fetch the browser libraries:\n{done.stderr[-2000:]}")
    if missing := FILES.keys() - found(folder).keys():
        raise VendorError(
            f"The packages lack {', '.join(sorted(missing))}: vendor.py and package-lock.json disagree."
        )
    return folder
