"""A run file as a tree of folders to browse: a folder a task, with what it logged."""

import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

import orjson

from spanbook_runfile import mermaid
from spanbook_runfile.errors import FolderInUseError
from spanbook_runfile.model import Artifact, Attempt, Metric, Recorded, Run, Task
from spanbook_runfile.names import ArtifactKind, Result
from spanbook_runfile.paths import safe_path, unique

Object = dict[str, Any]
METADATA = "run-time-metadata.json"
_NOTEBOOK_TYPE = "application/x-ipynb+json"


def expand(run: Run, folder: Path) -> list[str]:
    """Write a run as ``<type>-task--<name>--<span id>--<OK|FAILED|SKIPPED>/`` folders.

    Returns:
        What could not be done, in words: artifacts that are not whole, notebooks without HTML.

    Raises:
        FolderInUseError: the folder holds something.
        OSError: a file cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUseError(f"{folder} is not empty. Give a folder that is new, or empty it.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".expand-") as aside:
        told = list(_write_run(run, Path(aside)))
        for whole in Path(aside).iterdir():
            whole.rename(folder / whole.name)
    return told


def _write_run(run: Run, folder: Path) -> Iterator[str]:
    """Write all of a run into an empty folder; yields what went wrong."""
    yield from _write_recorded(run, folder)
    (folder / METADATA).write_bytes(_json(_run_metadata(run)))
    (folder / "dag.mmd").write_text(mermaid.dag(run), encoding="utf-8")
    (folder / "gantt.mmd").write_text(mermaid.gantt(run), encoding="utf-8")
    taken: set[str] = set()
    for task in run.tasks:
        own = folder / unique(PurePosixPath(_task_folder(task)), taken)
        own.mkdir()
        (own / METADATA).write_bytes(_json(_task_metadata(task)))
        numbers: set[str] = set()
        for attempt in task.attempts:
            if attempt is task.final:
                yield from _write_recorded(attempt, own)
            else:
                number = unique(PurePosixPath(str(attempt.number)), numbers)
                yield from _write_recorded(attempt, own / "earlier-attempts" / number)


def _task_folder(task: Task) -> str:
    ended = {
        Result.SUCCESS: "OK",
        Result.SKIP: "SKIPPED",
        None: "UNFINISHED",
    }.get(task.result, "FAILED")
    return f"{task.type}-task--{_part(task.name)}--{_part(task.id)}--{ended}"


def _part(name: str) -> PurePosixPath:
    """An untrusted name as one part of a path."""
    return safe_path(name.replace("/", "_").replace("\\", "_"))


def _write_recorded(log: Recorded, folder: Path) -> Iterator[str]:
    """Write what was logged on a run or an attempt; yields what went wrong."""
    if log.logs:
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line.text.removesuffix(chr(10))}\n" for line in log.logs)
        (folder / "output.txt").write_text(text, encoding="utf-8")
    if log.exceptions:
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(f"{e.stacktrace or f'{e.type}: {e.message}'}\n" for e in log.exceptions)
        (folder / "exceptions.txt").write_text(text, encoding="utf-8")
    taken: set[str] = set()
    for artifact in log.artifacts:
        yield from _write_artifact(artifact, folder / "artifacts", taken)


def _write_artifact(artifact: Artifact, folder: Path, taken: set[str]) -> Iterator[str]:
    try:
        data = artifact.data
    except ValueError:
        yield f"The artifact {artifact.path[:100]!r} is not base64; it was left out."
        return
    name = safe_path(artifact.path)
    if not artifact.intact:
        name = name.with_name(name.name + ".incomplete")
        yield (
            f"Of artifact {artifact.path[:99]!r} only {len(data)} of {artifact.size} bytes came."
            if len(data) != artifact.size
            else f"The artifact {artifact.path[:100]!r} has not the bytes that its digest tells of."
        )
    name = _free(name, folder, taken)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    if artifact.kind is ArtifactKind.NOTEBOOK or artifact.media_type == _NOTEBOOK_TYPE:
        html, why = notebook_html(data)
        if html:
            page = _free(name.with_suffix(".html"), folder, taken)
            (folder / page).write_text(html, encoding="utf-8")
        else:
            yield f"There is no HTML of the notebook {artifact.path[:100]!r}: {why}."


def _free(name: PurePosixPath, folder: Path, taken: set[str]) -> PurePosixPath:
    """A name that no file has, and where no file stands in a folder's place."""
    while any(str(parent).lower() in taken for parent in name.parents):
        name = PurePosixPath("_".join(name.parts))
    candidate = unique(name, taken)
    while (folder / candidate).exists():  # a folder that an earlier file made
        candidate = unique(name, taken)
    return candidate


def notebook_html(content: bytes) -> tuple[str, str]:
    """A notebook as HTML without scripts, or why there is none."""
    try:
        import nbformat  # noqa: PLC0415 - not needed but for this
        from nbconvert import HTMLExporter  # noqa: PLC0415
    except ImportError:
        return "", "install nbconvert to have it"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on cells without ids and other small things
            reads, html_exporter = cast("Any", nbformat.reads), cast("Any", HTMLExporter)
            exporter = html_exporter(sanitize_html=True, require_js_url="", mathjax_url="")
            page, _ = exporter.from_notebook_node(reads(content.decode(), as_version=4))
    except Exception as error:  # noqa: BLE001 - a foreign file through foreign code: anything
        return "", f"it cannot be read as one ({type(error).__name__})"
    return page, ""


# -- metadata ------------------------------------------------------------------------------


def _run_metadata(run: Run) -> Object:
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "state": run.state,
        "complete": run.seal.complete if run.seal else None,
        **_times(run.start, run.end),
        **_error(run.error_type, run.error_message),
        "resource": run.resource,
        **_recorded(run),
        "tasks": {task.id: task.title for task in run.tasks},
        "problems": run.problems,
    }


def _task_metadata(task: Task) -> Object:
    return {
        "id": task.id,
        "name": task.name,
        "label": task.label,
        "type": task.type,
        "state": task.state,
        "group": task.group,
        "source": task.source,
        **_times(task.start, task.end),
        **_error(task.error_type, task.error_message),
        "upstream": task.upstream,
        "cause": task.cause,
        **(_recorded(task.final) if task.final else {}),
        "attempts": [_attempt(attempt) for attempt in task.attempts],
    }


def _attempt(attempt: Attempt) -> Object:
    return {
        "id": attempt.id,
        "number": attempt.number,
        "result": attempt.result,
        "queued_unix_nano": attempt.queued,
        "running_unix_nano": attempt.running,
        **_times(attempt.start, attempt.end),
        **_error(attempt.error_type, attempt.error_message),
        "host": attempt.host,
        "pid": attempt.pid,
    }


def _times(start: int | None, end: int | None) -> Object:
    seconds = (end - start) / 1e9 if start is not None and end is not None else None
    return {"start_unix_nano": start, "end_unix_nano": end, "duration_s": seconds}


def _error(kind: str, message: str) -> Object:
    return {"error": {"type": kind, "message": message}} if kind or message else {}


def _recorded(log: Recorded) -> Object:
    return {
        "parameters": log.parameters,
        "tags": log.tags,
        "values": log.values,
        "metrics": {key: _metric(metric) for key, metric in log.metrics.items()},
        "artifacts": [
            {
                "path": a.path,
                "media_type": a.media_type,
                "kind": a.kind,
                "size": a.size,
                "sha256": a.sha256,
                "intact": a.intact,
            }
            for a in log.artifacts
        ],
    }


def _metric(metric: Metric) -> Object:
    return {
        "last": metric.last,
        "values": metric.values,
        "steps": metric.steps,
        "times_unix_nano": metric.times,
    }


def _json(value: object) -> bytes:
    return orjson.dumps(_plain(value), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _plain(value: object) -> object:
    """JSON that any reader takes: NaN and infinities as text, as in the run file itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
