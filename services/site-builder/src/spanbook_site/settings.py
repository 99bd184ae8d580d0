"""``spanbook.yaml``: what a project says about its own site. Documented in docs/configuration.md."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spanbook_site.errors import SettingsError
from spanbook_site.urls import slug

HISTORIES = ("pages", "branch", "artifacts")
FILE = Path("spanbook.yaml")
VARIABLE = "SPANBOOK_SETTINGS"

log = logging.getLogger("spanbook_site")


@dataclass(frozen=True)
class Report:
    """A page pinned in the navigation: the newest good main run's notebook, figure or HTML."""

    title: str
    task: str
    artifact: str = ""  # a path as logged; empty: the task's notebook, else its first figure
    pipeline: str = ""

    @property
    def slug(self) -> str:
        """The name of the report's page."""
        return slug(self.title.lower().replace(" ", "-"))


@dataclass(frozen=True)
class Settings:
    """The site's settings; every one has a default."""

    title: str = "Runs"
    description: str = ""
    repository: str = ""  # its web page
    url: str = ""  # where the site will be published; the feed's links need it
    about: str = ""  # Markdown, the text itself
    docs: str = field(default="", repr=False)  # the project's documents: a folder that is there
    metrics: tuple[str, ...] = ()  # "task.metric" columns of the run list
    main: tuple[str, ...] = ("main", "master")  # branches whose runs count as the record
    minimize: tuple[str, ...] = ()  # metrics where less is better, besides those that look it
    reports: tuple[Report, ...] = ()
    mlflow_ui: bool = True  # MLflow's own UI beside our pages, where it was fetched
    budget_mb: int = 800  # files of older runs are trimmed so that the site stays below it
    history: str = "pages"  # where runs are kept whose build artifacts are gone; one of HISTORIES
    forks: bool = False  # whether runs of pull requests from forks are shown
    max_run_file_mb: int = 1024


def find(given: Path | None) -> Path | None:
    """The settings file that is named, else that of the environment, else the one that is here."""
    if given is not None:
        return given
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return FILE if FILE.exists() else None


def load(path: Path | None) -> Settings:
    """Read the settings; without a file they are the defaults.

    Raises:
        SettingsError: the file cannot be read, is no YAML mapping, or has an unknown or bad entry.
    """
    if path is None:
        return Settings()
    import yaml  # noqa: PLC0415 - only where there is a file

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The settings file {path} cannot be read: {error.strerror}."
        ) from error
    except yaml.YAMLError as error:
        raise SettingsError(f"The settings file {path} is not YAML: {error}") from error
    if raw is None:
        return Settings()
    if not isinstance(raw, dict):
        raise SettingsError(
            f"The settings file {path} holds a {type(raw).__name__}; it should be a mapping such as\n"
            "    title: My pipeline\n    metrics: [train.accuracy]"
        )
    return _settings(raw, path)


def _settings(raw: Mapping[str, Any], path: Path) -> Settings:
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(str(key) for key in raw if key not in known):
        raise SettingsError(
            f"{path} sets {', '.join(unknown)}, which spanbook-site does not know. "
            f"It knows {', '.join(sorted(known))}."
        )
    values = {key: _value(key, value, path) for key, value in raw.items()}
    for key in ("repository", "url"):
        if values.get(key) and not values[key].startswith(("https://", "http://")):
            raise SettingsError(f"{path}: {key} is {values[key]!r}; it should start with https://.")
    return Settings(**values)


def _value(key: str, value: Any, path: Path) -> Any:
    if key == "reports":
        return tuple(_report(item, path) for item in _items(value, key, path))
    if key in ("metrics", "main", "minimize"):
        return tuple(str(item) for item in _items(value, key, path))
    if key in ("budget_mb", "max_run_file_mb"):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingsError(
                f"{path}: {key} is {value!r}; it should be a number of megabytes, at least 1."
            )
        return value
    if key in ("mlflow_ui", "forks"):
        if not isinstance(value, bool):
            raise SettingsError(f"{path}: {key} is {value!r}; it should be true or false.")
        return value
    if key == "history" and value not in HISTORIES:
        raise SettingsError(
            f"{path}: history is {value!r}; it should be one of {', '.join(HISTORIES)}."
        )
    if key == "docs":
        return _docs(str(value or ""), path)
    return _about(str(value), path) if key == "about" else str(value or "")


def _items(value: object, key: str, path: Path) -> list[Any]:
    if isinstance(value, list):
        return value
    raise SettingsError(f"{path}: {key} should be a list; it is {value!r}.")


def _report(item: object, path: Path) -> Report:
    known = {f.name for f in fields(Report)}
    if (
        not isinstance(item, dict)
        or not {"title", "task"} <= item.keys()
        or not item.keys() <= known
    ):
        raise SettingsError(
            f"{path}: a report is {item!r}; it should be like\n"
            "    reports:\n      - {title: Model quality, task: summary, artifact: notebook.ipynb}"
        )
    return Report(**{key: str(value) for key, value in item.items()})


def _docs(name: str, path: Path) -> str:
    folder = path.parent / name
    if name and not folder.is_dir():
        log.warning("%s: docs names %s, which is no folder here: built without it.", path, name)
        return ""
    return str(folder.resolve()) if name else ""


def _about(name: str, path: Path) -> str:
    target = path.parent / name
    try:
        return target.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: about names {name}, which cannot be read: {error}."
        ) from error


__all__ = ["HISTORIES", "Report", "Settings", "find", "load"]
