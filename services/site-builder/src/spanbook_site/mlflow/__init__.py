"""MLflow's own UI, unmodified, over the site's static files.

Two calls, one a run and one a build. :func:`write_run` writes a run's data beside its pages, from
that run alone. :func:`write_site` brings up to date what spans runs, and puts the UI there.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson
from spanbook_runfile import Run
from spanbook_runfile.mlflow import experiment_id, run_id

from spanbook_site.mlflow import history, page, tables, wheel
from spanbook_site.mlflow.leftout import UNUSED
from spanbook_site.mlflow.records import Record, records_of
from spanbook_site.mlflow.tables import Entry, Group
from spanbook_site.mlflow.urls import (
    ALL,
    FOLDER,
    INDEX,
    MlflowUrls,
    data_of_run,
)
from spanbook_site.mlflow.wheel import MlflowUiError
from spanbook_site.output import Output
from spanbook_site.urls import Urls

log = logging.getLogger("spanbook_site")

Files = Mapping[str, Mapping[str, str]]  # task id ("" for the run) → path as logged → address


def write_run(output: Output, run: Run, files: Files, *, trimmed: bool = False) -> bool:
    """Write a run's data below ``runs/<run id>/mlflow/``; False for a trace that is no run.

    ``files`` are the addresses of the artifacts that the site holds; others are listed but cannot
    be opened. ``trimmed`` leaves out the full histories of long metrics.
    """
    pages = {ALL: Urls.HOME}
    pages |= {experiment_id(run.pipeline, task.name): Urls.task(task.name) for task in run.tasks}
    records = list(records_of(run, files))
    for task in run.tasks:
        for child in task.final.children if task.final else ():
            if child.experiment:
                named = experiment_id(child.experiment, child.experiment)
                pages.setdefault(named, Urls.task(task.name))
    if records:
        write_records(output, run.id, records, pages, trimmed=trimmed)
    return bool(records)


def rows_of(run: str) -> str:
    """The address of the rows that :func:`write_run` writes; nothing is there for a trace that is no run."""
    return f"{data_of_run(run)}/run.json"


def write_records(
    output: Output,
    run: str,
    records: Sequence[Record],
    pages: Mapping[str, str],
    *,
    trimmed: bool = False,
) -> None:
    """Write MLflow runs as the data of one pipeline run.

    ``pages`` maps their experiments to our pages.
    """
    folder = data_of_run(run)
    contents, where = history.files(records, trimmed=trimmed)
    rows = []
    for record in records:
        row = record.row()
        row["experiment_name"] = record.experiment_name
        row["experiment_page"] = pages[record.experiment]
        row["artifacts"] = [list(artifact) for artifact in record.artifacts]
        if record.id in where:
            row["history"] = where[record.id]
        rows.append(row)
    contents["run.json"] = orjson.dumps({"rows": rows})
    for name, content in contents.items():
        output.write(f"{folder}/{name}", content)


def write_site(
    group: Group, output: Output, entries: Iterable[Entry], *, ui: Path | None = None
) -> bool:
    """Bring the tables up to date with the runs, and put the UI there.

    ``group`` is :meth:`spanbook_site.memo.Memo.group`, ``entries`` are all runs of which
    :func:`write_run` has written data.

    Returns:
        Whether the UI is there. Without it (:mod:`spanbook_site.mlflow.wheel` fetches it) nothing
        is written but a line in the log, and pages should not link to it.
    """
    source = ui or wheel.folder()
    if not wheel.installed(source):
        log.warning(
            "The site is built without its MLflow pages: %s does not hold the UI of MLflow %s. "
            "Run `spanbook-site mlflow-ui` once to fetch it, or set `mlflow_ui: false`.",
            source,
            wheel.VERSION,
        )
        return False
    tables.write(group, output, entries)
    group("mlflow/ui", _ui_key(), output, lambda part: _write_ui(part, source))
    return True


def _ui_key() -> str:
    made_of = wheel.SHA256, *UNUSED
    return hashlib.sha256("\n".join(made_of).encode() + page.script()).hexdigest()[:16]


def _write_ui(output: Output, source: Path) -> None:
    for name, path in wheel.files(source):
        output.link(f"{FOLDER}/{name}", path, f"{wheel.VERSION} {name}")
    output.write(f"{FOLDER}/{page.SCRIPT}", page.script())
    output.write(INDEX, page.index((source / "index.html").read_text(encoding="utf-8")))


__all__ = [
    "ALL",
    "INDEX",
    "Entry",
    "MlflowUiError",
    "MlflowUrls",
    "experiment_id",
    "rows_of",
    "run_id",
    "write_records",
    "write_run",
    "write_site",
]
