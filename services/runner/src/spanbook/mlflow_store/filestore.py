"""MLflow's file store: a folder an experiment, in it a folder a run, in it a file a key.

As of MLflow 1.0 to 3.17: ``<store>/<experiment>/<run>/{meta.yaml,params/,metrics/,tags/,artifacts/}``;
``metrics/<key>`` holds lines of ``<ms> <value> <step>``. What was deleted for good lies in ``.trash``.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from spanbook.errors import UsageError
from spanbook.mlflow_store.store import PARENT, RUN_NAME, Content, Point, StoredModel, StoredRun

_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_MOST_META = 1 << 20  # bytes of one meta.yaml, parameter or tag
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times faster, where built


class FileStore:
    """A folder such as ``mlruns``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.roots: Sequence[Path] = (self.folder, self.folder.parent / "mlartifacts")
        self.problems: list[str] = []
        self._places: dict[str, Path] = {}
        self._models: dict[str, list[StoredModel]] = {}

    @staticmethod
    def looks_like(folder: Path) -> bool:
        """Whether a folder holds an experiment."""
        try:
            return any((child / "meta.yaml").is_file() for child in folder.iterdir())
        except OSError as error:
            raise UsageError(f"{folder} cannot be read: {error.strerror}.") from error

    def runs(self) -> list[StoredRun]:
        """Every run, by folder; one whose meta.yaml cannot be read is a problem."""
        found = []
        for experiment, trashed in self._experiments():
            meta = self._meta(experiment)
            if meta is None:
                continue
            name = str(meta.get("name") or experiment.name)
            deleted = trashed or meta.get("lifecycle_stage") == "deleted"
            for folder in _folders(experiment):
                if folder.name == "models":
                    self._note_models(folder)
                    continue
                run = self._meta(folder) if (folder / "meta.yaml").exists() else None
                if run and ("run_id" in run or "run_uuid" in run):
                    found.append(self._run(folder, run, name, experiment.name, deleted=deleted))
        return found

    def close(self) -> None:
        """Nothing is held open."""

    def _experiments(self) -> Iterator[tuple[Path, bool]]:
        for top, deleted in ((self.folder, False), (self.folder / ".trash", True)):
            for folder in _folders(top):
                if (folder / "meta.yaml").exists():
                    yield folder, deleted

    def _run(
        self,
        folder: Path,
        meta: dict[str, Any],
        experiment: str,
        experiment_id: str,
        *,
        deleted: bool,
    ) -> StoredRun:
        run_id = str(meta.get("run_id") or meta.get("run_uuid"))
        self._places[run_id] = folder
        status = meta.get("status")
        return StoredRun(
            id=run_id,
            name=str(meta.get("run_name") or self._tag(folder, RUN_NAME)),
            experiment_id=experiment_id,
            experiment=experiment,
            status=_STATUS.get(status, "RUNNING") if isinstance(status, int) else str(status),
            start=_int(meta.get("start_time")),
            end=_int(meta.get("end_time")),
            parent=self._tag(folder, PARENT),
            deleted=deleted or meta.get("lifecycle_stage") == "deleted",
            user=str(meta.get("user_id") or ""),
            source=str(meta.get("source_name") or ""),
            commit=str(meta.get("source_version") or ""),
            artifact_uri=str(meta.get("artifact_uri") or ""),
        )

    def _note_models(self, folder: Path) -> None:
        """MLflow 3 keeps logged models apart from the runs that logged them."""
        for model in _folders(folder):
            meta = self._meta(model) if (model / "meta.yaml").exists() else None
            if meta and meta.get("lifecycle_stage") in (None, "active"):
                place = str(meta.get("artifact_location") or model / "artifacts")
                known = StoredModel(model.name, str(meta.get("name") or model.name), place)
                self._models.setdefault(str(meta.get("source_run_id")), []).append(known)

    def content(self, run: StoredRun) -> Content:
        """What was logged on a run."""
        folder = self._places[run.id]
        return Content(
            {key: self._text(path) for key, path in _keys(folder / "params")},
            {key: self._text(path) for key, path in _keys(folder / "tags")},
            {key: self._points(path) for key, path in _keys(folder / "metrics")},
            self._models.get(run.id, ()),
        )

    def _points(self, path: Path) -> list[Point]:
        """A metric's lines: milliseconds, value, step (not in the oldest stores), and of MLflow 3 more."""
        points, bad = {}, 0  # MLflow 3 writes a point again when a model is logged
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split()
            try:
                step = int(words[2]) if len(words) > 2 else 0
                point = Point(int(words[0]), step, float(words[1]))
                points[point[:2], repr(point.value)] = point
            except (ValueError, IndexError):
                bad += bool(words)
        if bad:
            self.problems.append(
                f"{path}: {bad} of its lines say no '<milliseconds> <value> <step>'."
            )
        return sorted(points.values(), key=lambda point: (point.time, point.step))

    def _meta(self, folder: Path) -> dict[str, Any] | None:
        path = folder / "meta.yaml"
        try:
            with path.open("rb") as stream:
                meta = yaml.load(stream.read(_MOST_META), _Loader)  # noqa: S506 - a safe loader
        except (OSError, ValueError, yaml.YAMLError) as error:
            self.problems.append(f"{path} cannot be read and was passed over: {error}")
            return None
        if isinstance(meta, dict):
            return meta
        self.problems.append(f"{path} holds no names and values and was passed over.")
        return None

    def _tag(self, folder: Path, key: str) -> str:
        path = folder / "tags" / key
        return self._text(path) if path.is_file() else ""

    def _text(self, path: Path) -> str:
        with path.open("rb") as stream:
            return stream.read(_MOST_META).decode("utf-8", "replace")


def _folders(top: Path) -> list[Path]:
    try:
        return sorted(p for p in top.iterdir() if p.is_dir() and not p.is_symlink())
    except FileNotFoundError:
        return []


def _keys(top: Path) -> Iterator[tuple[str, Path]]:
    """Files by their path below a folder: a key may have slashes. Links are not followed."""
    for folder, inner, files in os.walk(top):
        inner.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if not path.is_symlink() and not name.startswith("."):
                yield path.relative_to(top).as_posix(), path


def _int(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
