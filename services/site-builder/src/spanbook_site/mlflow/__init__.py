"""MLflow's own UI, unmodified, over the site's static files.

Two calls, one a run and one a build: :func:`write_run` writes a run's data files, which depend on
that run alone; :func:`write_site` brings up to date what spans runs, and puts the UI there.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from spanbook_runfile import Run

from spanbook_site.mlflow import catalog, history, page, wheel
from spanbook_site.mlflow.records import Record, records_of
from spanbook_site.mlflow.urls import (
    ALL,
    DATA,
    FOLDER,
    INDEX,
    MlflowUrls,
    data_of_run,
    experiment_id,
    run_id,
)
from spanbook_site.mlflow.wheel import MlflowUiError
from spanbook_site.output import Output
from spanbook_site.urls import Urls

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What was written for one run: its place in the tables, and its files' addresses."""

    run: str
    start: int  # milliseconds since the epoch
    addresses: tuple[str, ...]


def write_run(
    output: Output, run: Run, files: Mapping[str, Mapping[str, str]], *, trimmed: bool = False
) -> Written | None:
    """Write the data of one run below ``mlflow/data/runs/<run id>/``; None for a trace that is no run.

    ``files`` maps a task's id ("" for the run itself) to its artifacts' addresses by path as
    logged; an artifact without one is listed but cannot be opened. ``trimmed`` leaves out the full
    histories of long metrics.
    """
    records = list(records_of(run, files))
    if not records:
        return None
    pages = {ALL: Urls.HOME}
    pages |= {experiment_id(run.pipeline, task.name): Urls.task(task.name) for task in run.tasks}
    return write_records(output, run.id, records, pages, trimmed=trimmed)


def write_records(
    output: Output,
    run: str,
    records: Sequence[Record],
    pages: Mapping[str, str],
    *,
    trimmed: bool = False,
) -> Written:
    """Write MLflow runs as the data of one pipeline run; ``pages`` maps their experiments to our pages."""
    folder = data_of_run(run)
    contents, where = history.files(records, trimmed=trimmed)
    contents["run.json"] = catalog.run_file(records, where, pages)
    for name, content in contents.items():
        output.write(f"{folder}/{name}", content)
    addresses = tuple(f"{folder}/{name}" for name in sorted(contents))
    return Written(run, records[0].start, addresses)


def write_site(
    output: Output,
    written: Iterable[Written],
    removed: Iterable[Written] = (),
    *,
    ui: Path | None = None,
) -> bool:
    """Bring the tables up to date with the runs written and removed since the last build, and put the UI there.

    Returns:
        Whether the UI is there; without it (see :mod:`spanbook_site.mlflow.wheel`) nothing is
        written but a line in the log.
    """
    source = ui or wheel.folder()
    if not wheel.installed(source):
        log.warning(
            "The site is built without its MLflow pages: there is no UI of MLflow %s in %s. "
            "Run `spanbook-site mlflow-ui` once to fetch it, or set mlflow_ui: false.",
            wheel.VERSION,
            source,
        )
        return False
    catalog.update(
        output,
        catalog.Changes({w.run: w.start for w in written}, {w.run: w.start for w in removed}),
    )
    _write_ui(output, source)
    return True


def _write_ui(output: Output, source: Path) -> None:
    stamp = orjson.dumps({"mlflow": wheel.VERSION, "wheel": wheel.SHA256})
    for name, path in wheel.files(source):
        output.link(f"{FOLDER}/{name}", path)
    for script in page.SCRIPTS:
        output.write(f"{FOLDER}/shim/{script}", (page.SHIM / script).read_bytes())
    output.write(INDEX, page.index((source / "index.html").read_text(encoding="utf-8")))
    output.write(f"{FOLDER}/version.json", stamp)


__all__ = [
    "ALL",
    "DATA",
    "INDEX",
    "MlflowUiError",
    "MlflowUrls",
    "Written",
    "experiment_id",
    "run_id",
    "write_records",
    "write_run",
    "write_site",
]
