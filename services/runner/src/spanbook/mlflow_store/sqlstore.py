"""MLflow's SQLite store, as of MLflow 1.0 to 3.17; read with nothing but sqlite3."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from spanbook.errors import UsageError
from spanbook.mlflow_store.store import PARENT, RUN_NAME, Content, Point, StoredModel, StoredRun

_NEEDED = {"experiments", "runs", "params", "metrics", "tags"}
_INFINITE = 1.7976931348623157e308  # what the store writes for an infinity


class SqliteStore:
    """A file such as ``mlflow.db``; it is opened for reading only."""

    def __init__(self, file: Path) -> None:
        self.file = file.resolve()
        self.roots: Sequence[Path] = tuple(
            self.file.parent / name for name in ("mlruns", "mlartifacts")
        )
        self.problems: list[str] = []
        self._db: sqlite3.Connection | None = None
        try:
            self._db = sqlite3.connect(f"file:{quote(str(self.file))}?mode=ro", uri=True)
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            listed = self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")
            self._tables = {row[0] for row in listed}
        except sqlite3.Error as error:
            self.close()
            raise UsageError(
                f"{self.file} cannot be read as a SQLite store ({error}). Give MLflow's mlflow.db, or "
                "its folder mlruns."
            ) from error
        if missing := sorted(_NEEDED - self._tables):
            self.close()
            raise UsageError(
                f"{self.file} is a SQLite file, but no MLflow store: it has no table {missing[0]!r}."
            )

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()

    def _rows(self, sql: str, *values: str) -> Iterator[sqlite3.Row]:
        assert self._db is not None
        try:
            yield from self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise UsageError(f"{self.file} cannot be read: {error}.") from error

    def runs(self) -> list[StoredRun]:
        """Every run, in the order that they were made."""
        experiments = {
            row["experiment_id"]: dict(row) for row in self._rows("SELECT * FROM experiments")
        }
        tags: dict[str, dict[str, str]] = {}
        for row in self._rows("SELECT * FROM tags WHERE key IN (?, ?)", PARENT, RUN_NAME):
            tags.setdefault(row["run_uuid"], {})[row["key"]] = row["value"] or ""
        found = []
        for row in self._rows("SELECT * FROM runs ORDER BY start_time, run_uuid"):
            of = dict(row)
            experiment = experiments.get(of["experiment_id"])
            named = tags.get(of["run_uuid"], {})
            stages = (of.get("lifecycle_stage"), experiment and experiment.get("lifecycle_stage"))
            found.append(
                StoredRun(
                    id=of["run_uuid"],
                    name=of.get("name") or named.get(RUN_NAME, ""),
                    experiment_id=str(of["experiment_id"]),
                    experiment=experiment["name"] if experiment else str(of["experiment_id"]),
                    status=of.get("status") or "RUNNING",
                    start=of.get("start_time") or None,
                    end=of.get("end_time") or None,
                    parent=named.get(PARENT, ""),
                    deleted="deleted" in stages,
                    user=of.get("user_id") or "",
                    source=of.get("source_name") or "",
                    commit=of.get("source_version") or "",
                    artifact_uri=of.get("artifact_uri") or "",
                )
            )
        return found

    def content(self, run: StoredRun) -> Content:
        """What was logged on a run."""
        metrics: dict[str, list[Point]] = {}
        order = "SELECT * FROM metrics WHERE run_uuid = ? ORDER BY key, timestamp, step"
        for row in self._rows(order, run.id):
            metrics.setdefault(row["key"], []).append(_point(dict(row)))
        return Content(
            self._pairs("params", run.id),
            self._pairs("tags", run.id),
            metrics,
            self._models(run.id),
        )

    def _pairs(self, table: str, run_id: str) -> dict[str, str]:
        rows = self._rows(f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key", run_id)  # noqa: S608 - one of two names
        return {row["key"]: row["value"] or "" for row in rows}

    def _models(self, run_id: str) -> list[StoredModel]:
        if "logged_models" not in self._tables:
            return []
        rows = self._rows(
            "SELECT * FROM logged_models WHERE source_run_id = ? AND lifecycle_stage = 'active' "
            "ORDER BY creation_timestamp_ms, model_id",
            run_id,
        )
        return [StoredModel(r["model_id"], r["name"], r["artifact_location"]) for r in rows]


def _point(row: dict[str, float]) -> Point:
    value = float(row["value"])
    if row.get("is_nan"):
        value = math.nan
    elif abs(value) >= _INFINITE:
        value = math.copysign(math.inf, value)
    return Point(int(row["timestamp"]), int(row.get("step") or 0), value)
