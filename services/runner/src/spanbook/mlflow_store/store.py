"""What an MLflow store holds, however it holds it; and opening one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from spanbook.errors import UsageError

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"


class Point(NamedTuple):
    """One value of a metric; ``time`` is in milliseconds since the epoch."""

    time: int
    step: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as a store lists it; times are milliseconds since the epoch."""

    id: str
    name: str
    experiment_id: str
    experiment: str
    status: str  # RUNNING, SCHEDULED, FINISHED, FAILED or KILLED
    start: int | None
    end: int | None
    parent: str = ""  # the run that it is nested in
    deleted: bool = False
    user: str = ""
    source: str = ""
    commit: str = ""
    artifact_uri: str = ""

    @property
    def ended(self) -> bool:
        """Whether the store says how it ended."""
        return self.status in ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A logged model of MLflow 3, which lies beside its run's artifacts."""

    id: str
    name: str
    artifact_uri: str


@dataclass(frozen=True, slots=True)
class Content:
    """What was logged on a run."""

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    models: Sequence[StoredModel] = ()


class Store(Protocol):
    """A store that is open for reading."""

    roots: Sequence[Path]
    """The folders in which artifacts are looked for."""
    problems: list[str]
    """What could not be read and was passed over, in words."""

    def runs(self) -> list[StoredRun]:
        """Every run, those deleted included."""

    def content(self, run: StoredRun) -> Content:
        """What was logged on a run."""

    def close(self) -> None:
        """Let go of what is open."""


def open_store(given: str) -> Store:
    """The store that a path or URI names: a folder, a SQLite file, ``file:…`` or ``sqlite:///…``.

    Raises:
        UsageError: there is none, or it is of a kind that cannot be read here.
    """
    from spanbook.mlflow_store.filestore import FileStore  # noqa: PLC0415
    from spanbook.mlflow_store.sqlstore import SqliteStore  # noqa: PLC0415

    path, sqlite = _path_of(given)
    if not path.exists():
        raise UsageError(
            f"There is no {path} (looked in {Path.cwd()}). Give MLflow's folder (mlruns), or its "
            "SQLite file (mlflow.db)."
        )
    if path.is_file():
        return SqliteStore(path)
    if sqlite:
        raise UsageError(f"{path} is a folder; sqlite:/// should lead to a file such as mlflow.db.")
    if FileStore.looks_like(path):
        return FileStore(path)
    if (path / "mlflow.db").is_file():
        return SqliteStore(path / "mlflow.db")
    if (path / "mlruns").is_dir() and FileStore.looks_like(path / "mlruns"):
        return FileStore(path / "mlruns")
    raise UsageError(
        f"{path} is no MLflow store: it has no experiment (a folder with a meta.yaml), no mlruns "
        "folder with one, and no mlflow.db."
    )


def _path_of(given: str) -> tuple[Path, bool]:
    """The path of a store, and whether it is said to be SQLite's."""
    if given.startswith("sqlite:"):
        if not given.startswith("sqlite:///"):
            raise UsageError(
                f"{given} should be sqlite:/// and a path, such as sqlite:///mlflow.db."
            )
        return Path(unquote(given.removeprefix("sqlite:///"))), True
    if "://" in given and not given.startswith("file:"):
        scheme = urlsplit(given).scheme
        raise UsageError(
            f"{scheme}:// stores cannot be read here, only folders (mlruns) and SQLite files. Of a "
            "server, give the store that it was started with (--backend-store-uri)."
        )
    return (
        Path(unquote(urlsplit(given).path)) if given.startswith("file:") else Path(given)
    ), False
