"""``spanbook.load``: runs, tasks, metrics and parameters as pandas frames, from run files or from a site."""

import io
import math
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag

from spanbook_runfile import Run, RunFileError, Task, names, parse_run, read_run, trim
from spanbook_runfile.model import Recorded
from spanbook_runfile.paths import RUN_ID
from spanbook_runfile.settle import settled

from spanbook.errors import LoadError

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("runs", "tasks", "metrics", "parameters")
MOST_BYTES = 1 << 30  # of one run file, unpacked
TIMEOUT = 60.0  # seconds without a byte from a site
COLUMNS = {  # as the site's Parquet files have them, which add what the site's settings say
    "runs": ("run", "pipeline", "state", "start", "duration", "trigger", "branch", "commit",
             "commit_title", "change", "actor", "tasks", "tasks_ok", "tasks_failed", "tasks_skipped"),
    "tasks": ("run", "task", "name", "label", "type", "state", "start", "duration", "run_duration",
              "attempts", "error"),
    "metrics": ("run", "task", "name", "label", "key", "last", "min", "max", "points"),
    "parameters": ("run", "task", "name", "label", "key", "value", "number"),
}  # fmt: skip
COUNTS = ("tasks", "tasks_ok", "tasks_failed", "tasks_skipped", "attempts", "points")
NUMBERS = ("duration", "run_duration", "last", "min", "max", "number")
_OPEN = ("running", "queued", "waiting")


@dataclass(frozen=True)
class Frames:
    """Four frames that join by ``run``, and by ``task``: null there is of the run itself.

    Times are UTC, durations in seconds. ``metrics`` has one row a metric: its last value, least and
    greatest, and how many were logged; numbers that were logged as values are metrics of one point.
    """

    runs: "pd.DataFrame"
    tasks: "pd.DataFrame"
    metrics: "pd.DataFrame"
    parameters: "pd.DataFrame"


def load(source: str | Path) -> Frames:
    """Read what was recorded.

    Args:
        source: a folder of run files, an outputs folder, one run file, a built site's folder, or the
            address of a published site or of a viewer.

    Raises:
        LoadError: there is nothing of the kind.
    """
    text = str(source)
    if text.startswith(("http://", "https://")):
        root = urldefrag(text).url.removesuffix("index.html").rstrip("/")
        return _of_site(text, lambda name: _fetched(f"{root}/data/{name}.parquet"))
    path = Path(source)
    if (path / "data" / "runs.parquet").is_file():
        return _of_site(text, lambda name: (path / "data" / f"{name}.parquet").read_bytes())
    return _of_files(_run_files(path))


# -- from a site -------------------------------------------------------------------------------------


def _of_site(source: str, content: Any) -> Frames:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - only a site's tables need it
    except ImportError as error:
        raise LoadError(
            f"The tables of the site {source} are Parquet files, which pyarrow reads, and it is not "
            "installed here: pip install 'spanbook[frames]'. A folder of run files needs nothing more."
        ) from error
    return Frames(
        **{name: _typed(pq.read_table(io.BytesIO(content(name))).to_pandas()) for name in TABLES}
    )


def _typed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The same types wherever a frame comes from, and where it has no row."""
    types = dict.fromkeys(COUNTS, "int64") | dict.fromkeys(NUMBERS, "float64")
    return frame.astype({name: types[name] for name in frame.columns if name in types})


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - http or https
            content: bytes = answer.read()
            return content
    except (urllib.error.URLError, OSError) as error:
        raise LoadError(
            f"{url} cannot be read: {error}. Give the address of the page with the list of runs, such "
            "as https://owner.github.io/repository/, of a site that spanbook built and that holds a run."
        ) from error


# -- from run files ----------------------------------------------------------------------------------


def _run_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "runs" if (path / "runs").is_dir() else path
    if not folder.is_dir():
        raise LoadError(
            f"There is no {path}. Give a folder of run files (pipeline-outputs/runs), a site's folder, "
            "or the address of a published site."
        )
    ids = {path.name.removesuffix(suffix): path
           for suffix in (trim.SUFFIX, ".json")  # the whole file, where there are both
           for path in folder.glob(f"*{suffix}")}  # fmt: skip
    found = [path for name, path in sorted(ids.items()) if RUN_ID.fullmatch(name)]
    if not found:
        raise LoadError(
            f"The folder {folder} holds no run file; each is called <run id>.json. "
            "Run a pipeline first: spanbook run PIPELINE."
        )
    return found


def _of_files(paths: Sequence[Path]) -> Frames:
    import pandas as pd  # noqa: PLC0415 - half a second that only those pay who load

    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for run in sorted(_runs(paths), key=lambda run: (run.start or 0, run.id)):
        _add(rows, run)
    frames = {
        name: _typed(pd.DataFrame(rows[name], columns=list(COLUMNS[name]))) for name in TABLES
    }
    for name in ("runs", "tasks"):
        start = pd.to_datetime(frames[name]["start"], unit="ms", utc=True)
        frames[name]["start"] = start.astype("datetime64[ms, UTC]")
    return Frames(**frames)


def _runs(paths: Sequence[Path]) -> Iterator[Run]:
    """The runs that can be read; one broken file of many does not keep from the others."""
    broken = 0
    for path in paths:
        try:
            yield settled(_read(path))
        except RunFileError as error:
            broken += 1
            if broken == len(paths):
                raise LoadError(
                    f"{path} cannot be read: {error}"
                    if broken == 1
                    else f"None of the {broken} run files in {path.parent} can be read; the last: {error}"
                ) from error
            warnings.warn(f"{path} is left out: {error}", stacklevel=4)


def _read(path: Path) -> Run:
    if not path.name.endswith(trim.SUFFIX):
        return read_run(path)
    return parse_run(trim.unpack(path.read_bytes(), MOST_BYTES, name=path.name), name=path.name)


def _add(rows: dict[str, list[tuple[Any, ...]]], run: Run) -> None:
    states = [task.state for task in run.tasks]
    ok, skipped = states.count("success"), states.count("skip")
    failed = len(states) - ok - skipped - sum(state in _OPEN for state in states)
    context = [
        run.context(name)
        for name in (names.REF_NAME, names.REF_REVISION, names.COMMIT_TITLE, names.CHANGE_ID, names.ACTOR)
    ]  # fmt: skip
    rows["runs"].append(
        (run.id, run.pipeline, run.state, _ms(run.start), _seconds(run.start, run.end), run.trigger,
         *context, len(states), ok, failed, skipped)
    )  # fmt: skip
    _add_recorded(rows, (run.id, None, None, None), run)
    for task in run.tasks:
        final = task.final
        began = (final.running or final.start) if final else None
        rows["tasks"].append(
            (run.id, task.id, task.name, task.label, str(task.type), task.state,
             _ms(task.start or (final.start if final else None)), _seconds(task.start, task.end),
             _seconds(began, final.end) if final else None, len(task.attempts), _error(task))
        )  # fmt: skip
        if final:
            _add_recorded(rows, (run.id, task.id, task.name, task.label), final)


def _add_recorded(
    rows: dict[str, list[tuple[Any, ...]]], who: tuple[Any, ...], recorded: Recorded
) -> None:
    for key, metric in recorded.metrics.items():
        found = (metric.last, metric.min, metric.max)
        rows["metrics"].append((*who, key, *map(_finite, found), len(metric.values)))
    for key, number in _numbers(recorded.values):
        rows["metrics"].append((*who, key, number, number, number, 1))
    numbers = dict(_numbers(recorded.parameters))
    for key, value in recorded.parameters.items():
        rows["parameters"].append(
            (*who, key, None if value is None else str(value), numbers.get(key))
        )


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield key, float(value)


def _error(task: Task) -> str:
    """What went wrong, on one line; empty where nothing did."""
    if task.state in ("success", *_OPEN):
        return ""
    message = task.error_message.strip().split("\n")[0]
    if not task.error_type or message.startswith(f"{task.error_type}:"):
        return message
    return f"{task.error_type}: {message}" if message else task.error_type


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ms(ns: int | None) -> int | None:
    return None if ns is None else ns // 1_000_000


def _seconds(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else round((end - start) / 1e9, 3)


__all__ = ["Frames", "load"]
