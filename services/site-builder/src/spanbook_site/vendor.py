"""The browser libraries: fetched by npm from the lock file beside this package, by version and digest.

Only what pages load is kept. Without them the site works: tables stand where charts would be.
"""

import json
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from spanbook_site.errors import VendorError
from spanbook_site.output import replace_file

FILES = {
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "ort.wasm.min.js": "onnxruntime-web/dist/ort.wasm.min.js",
    "ort-wasm-simd-threaded.wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "ort-wasm-simd-threaded.mjs": "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "LICENSE.uplot": "uplot/LICENSE",
    "LICENSE.onnxruntime-web": "onnxruntime-web/LICENSE",
}


def default_folder() -> Path:
    """``$SPANBOOK_VENDOR``, else a folder of the user's cache."""
    if named := os.environ.get("SPANBOOK_VENDOR"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "spanbook" / "vendor"


def fetch(folder: Path) -> Path:
    """Fetch the libraries into a folder, unless the same are there already.

    Raises:
        VendorError: npm is not there, or failed.
    """
    source = Path(str(resources.files("spanbook_site"))) / "vendor"
    lock = (source / "package-lock.json").read_bytes()
    stamp = folder / "package-lock.json"
    if stamp.exists() and stamp.read_bytes() == lock and all((folder / name).exists() for name in FILES):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError(
            "npm was not found on the PATH; it fetches the chart library and the model runtime for pages. "
            "Install Node.js, or leave it: the site then shows tables where charts would be."
        )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, work)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise VendorError(f"npm ci failed ({done.returncode}):\n{done.stderr[-2000:]}")
        for target, path in FILES.items():
            found = work / "node_modules" / path
            if found.exists():
                replace_file(folder / target, found.read_bytes())
            elif not target.startswith("LICENSE"):
                raise VendorError(f"The package has no {path}; vendor.py and package-lock.json do not agree.")
    replace_file(stamp, lock)
    return folder


def versions() -> dict[str, str]:
    """The pinned versions."""
    path = Path(str(resources.files("spanbook_site"))) / "vendor" / "package.json"
    pinned: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    return pinned
