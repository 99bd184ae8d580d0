"""The files that a run logged: where they lie, and which of them are taken along.

A store says where its artifacts are, and a store may come from anyone: only what lies in the store's
own folders, or in those that the user names, is read, and no link is followed.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from spanbook_runfile.names import ArtifactKind

from spanbook.artifacts import media_type_of

_TAILS = (
    4,
    3,
    2,
)  # of the last parts of an address: <experiment>/[models/]<run or model>/artifacts
_KINDS = {".ipynb": ArtifactKind.NOTEBOOK, ".onnx": ArtifactKind.MODEL}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken along, in bytes."""

    file: int
    run: int


class Found(NamedTuple):
    """One file of a run: its name among the run's artifacts, and where it is."""

    path: str
    file: Path
    size: int

    @property
    def media_type(self) -> str:
        """By its suffix; MLflow's own MLmodel is YAML."""
        return "application/yaml" if self.file.name == "MLmodel" else media_type_of(self.path)

    @property
    def kind(self) -> ArtifactKind:
        """What it is for."""
        if self.media_type.startswith("image/"):
            return ArtifactKind.FIGURE
        return _KINDS.get(self.file.suffix.lower(), ArtifactKind.FILE)


def locate(uri: str, roots: Sequence[Path]) -> Path | None:
    """The folder of an artifact address, also where the store was moved; None where it is not here."""
    split = urlsplit(uri)
    scheme = split.scheme if "/" in uri[: uri.find(":") + 2] else ""
    if scheme not in ("", "file", "mlflow-artifacts"):
        return None
    path = PurePosixPath(unquote(split.path) if scheme else uri)
    if ".." in path.parts:
        return None
    candidates = [Path(path)] if scheme != "mlflow-artifacts" and path.is_absolute() else []
    tails = [path.parts[-n:] for n in _TAILS if len(path.parts) > n]
    relative = [part for part in path.parts if part != "/"]
    candidates += [Path(root, *tail) for root in roots for tail in (relative, *tails)]
    for candidate in candidates:
        if candidate.is_dir() and any(_within(candidate, root) for root in roots):
            return candidate
    return None


def _within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def walk(folder: Path, prefix: str = "") -> Iterator[Found]:
    """Every regular file below a folder, by name."""
    for top, inner, names in os.walk(folder):
        inner.sort()
        for name in sorted(names):
            file = Path(top, name)
            if file.is_file() and not file.is_symlink():
                path = prefix + file.relative_to(folder).as_posix()
                yield Found(path, file, file.stat().st_size)
