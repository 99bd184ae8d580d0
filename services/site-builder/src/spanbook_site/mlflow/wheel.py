"""The official UI build, out of MLflow's wheel: pinned, fetched once, never committed.

The image and ``make venv`` fetch it; the site-builder only copies it and needs no MLflow.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

import orjson

from spanbook_site.errors import SiteError
from spanbook_site.mlflow.leftout import UNUSED

VERSION: Final = "3.17.2"
SHA256: Final = "4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac"
FOLDER_VARIABLE: Final = "SPANBOOK_MLFLOW_UI"
MARK: Final = "spanbook.json"  # says which wheel a folder was made from

_BUILD = "mlflow/server/js/build/"
_LICENSES = f"mlflow-{VERSION}.dist-info/licenses/"
_PIP_SECONDS = 600


class MlflowUiError(SiteError):
    """The MLflow UI could not be fetched, or what was fetched is not what was pinned."""


def folder() -> Path:
    """Where the UI lies: ``SPANBOOK_MLFLOW_UI``, else a folder of the Python environment."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(sys.prefix) / "share" / "spanbook" / "mlflow-ui"


def installed(ui: Path) -> bool:
    """Whether a folder holds the pinned UI, whole."""
    try:
        mark = orjson.loads((ui / MARK).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return (
        isinstance(mark, dict)
        and mark.get("sha256") == SHA256
        and set(mark.get("unused", [""])) <= set(UNUSED)  # one with more is as good
    )


def fetch(ui: Path, *, wheel: Path | None = None) -> int:
    """Put the pinned UI into a folder, downloading the wheel with pip unless one is given.

    Returns:
        The number of files, 0 where the folder held it already.

    Raises:
        MlflowUiError: there is no pip, the download fails, or the digest is another one.
    """
    if installed(ui):
        return 0
    ui.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ui.parent, prefix=".mlflow-ui-") as scratch:
        source = wheel or _download(Path(scratch))
        _check(source)
        aside = Path(scratch) / "ui"
        count = _unpack(source, aside)
        if ui.exists():
            shutil.rmtree(ui)
        aside.rename(ui)
    return count


def files(ui: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a UI that a site has, but ``index.html``: its address under ``mlflow/``, and where it is."""
    for path in sorted(ui.rglob("*")):
        name = path.relative_to(ui).as_posix()
        if path.is_file() and name not in (MARK, "index.html") and not _unused(name):
            yield (name if name.startswith("licenses/") else f"static-files/{name}"), path


def _download(scratch: Path) -> Path:
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"mlflow=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    wanted = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(scratch)]
    command = [*_pip(), "download", "--quiet", *wanted, "--requirement", str(pinned)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MlflowUiError(
            f"pip did not fetch MLflow's wheel within {_PIP_SECONDS} s; try again."
        ) from error
    found = list(scratch.glob("*.whl"))
    if done.returncode or not found:
        raise MlflowUiError(
            f"pip could not fetch the wheel mlflow {VERSION}:\n{done.stderr.strip()}\n"
            "Without it the site is built without its MLflow pages."
        )
    return found[0]


def _pip() -> list[str]:
    if (
        subprocess.run(
            [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip") or shutil.which("pip3"):
        return [found]
    raise MlflowUiError(
        f"There is no pip to fetch MLflow's wheel with. Install pip, or download "
        f"mlflow {VERSION} elsewhere and give the wheel's path."
    )


def _check(wheel: Path) -> None:
    with wheel.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != SHA256:
        raise MlflowUiError(
            f"{wheel.name} has the digest {digest}; mlflow {VERSION} is pinned to {SHA256}. "
            "It is another version, or was tampered with, and was not used."
        )


def _unpack(wheel: Path, target: Path) -> int:
    count = 0
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = _wanted(info.filename)
            if name is None:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(info))
            count += 1
    mark = {"version": VERSION, "sha256": SHA256, "unused": list(UNUSED)}
    (target / MARK).write_bytes(orjson.dumps(mark))
    return count


def _wanted(name: str) -> str | None:
    """The place of a wheel's member in the UI's folder; None for what is left in the wheel."""
    if name.endswith("/") or ".." in PurePosixPath(name).parts:
        return None
    if name.startswith(_LICENSES):
        return f"licenses/{name.removeprefix(_LICENSES)}"
    if not name.startswith(_BUILD):
        return None
    name = name.removeprefix(_BUILD)
    return None if _unused(name) else name


def _unused(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in UNUSED)
