"""Artifacts, by the routes of MLflow's artifact proxy: files to and from runs and logged models."""

import asyncio
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from spanbook_runfile.model import Artifact

from spanbook_collector.errors import Busy, TooLarge
from spanbook_collector.receivers.http import Body
from spanbook_collector.receivers.mlflow import fields, models, spans, traces
from spanbook_collector.receivers.mlflow.calls import Call, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError, not_kept
from spanbook_collector.receivers.mlflow.records import Place
from spanbook_collector.receivers.mlflow.runs import ref
from spanbook_collector.receivers.mlflow.tracking import ref_of
from spanbook_collector.receivers.mlflow.views import Ref, Told, artifact_uri

_SECONDS = 120.0  # for a file to come


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a file lies: on a run, below a folder of it."""

    ref: Ref
    folder: str
    path: str

    @property
    def full(self) -> str:
        """Its path among the run's artifacts."""
        return "/".join(part for part in (self.folder, self.path) if part)


async def _spot(call: Call, address: str) -> Spot:
    """The run and path of ``EXPERIMENT/RUN/artifacts/…`` or ``EXPERIMENT/models/MODEL/artifacts/…``.

    Raises:
        MlflowError: it is no such address, or leads elsewhere.
    """
    clean = fields.artifact_path(address.strip("/") if address.endswith("/") else address)
    match clean.split("/"):
        case [_, "models", model, "artifacts", *rest]:
            told, found = await models.find(call, model)
            return Spot(told.ref, found.folder, _below(rest))
        case [_, "traces", trace, "artifacts", *rest]:
            return Spot(await traces.owner(call, trace), traces.folder(trace), _below(rest))
        case [_, run, "artifacts", *rest]:
            return Spot(ref_of(run), "", _below(rest))
    raise MlflowError(
        f"Invalid artifact path '{clean[:200]}': artifacts are those of runs and logged models."
    )


def _below(parts: list[str]) -> str:
    return fields.artifact_path("/".join(parts))


async def put(call: Call) -> Json:
    """``PUT mlflow-artifacts/artifacts/…``: one file."""
    spot = await _spot(call, call.path["path"])
    if not spot.path:
        raise MlflowError("Invalid path: a file needs a name.")
    call.mine(spot.ref)
    limit = call.tracking.settings.max_file_bytes
    body = Body(call.request, limit, call.tracking.budget)
    try:
        seconds = max(call.tracking.settings.read_timeout, _SECONDS)
        data = await _read(body, spot.full, limit, seconds)
        async with call.tracking.writing(spot.ref) as book:
            version = book.versions(spot.ref.span, spot.full) + 1
            place = Place(spot.ref.run, spot.ref.span)
            for some in place.artifact(spot.full, data, version):
                await call.tracking.put(book, some)
        if spot.folder.startswith(f"{traces.FOLDER}/") and spot.path == "traces.json":
            await spans.add(call.tracking, spot.ref, data)
    finally:
        body.release()
    return {}


async def _read(body: Body, path: str, limit: int, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await body.read()
    except TimeoutError:
        raise Busy(f"The file {path[:200]!r} did not come within {seconds:g} s.") from None
    except TooLarge as error:
        raise MlflowError(
            f"The file {path[:200]!r} has over {limit:,} bytes, the limit of one file "
            "(--max-file-bytes, SPANBOOK_MAX_FILE_BYTES). Log a smaller one, or raise it."
        ) from error


async def get(call: Call) -> web.StreamResponse:
    """``GET mlflow-artifacts/artifacts/…``: one file's bytes."""
    return await _download(call, await _spot(call, call.path["path"]))


async def get_by_run(call: Call) -> web.StreamResponse:
    """``GET get-artifact?run_id=…&path=…``."""
    path = fields.artifact_path(fields.text(call.body, "path"))
    return await _download(call, Spot(ref(call), "", path))


async def get_of_model(call: Call) -> web.StreamResponse:
    """``GET logged-models/MODEL/artifacts/files?artifact_file_path=…``."""
    told, found = await models.find(call, call.path["model"])
    path = fields.artifact_path(fields.text(call.body, "artifact_file_path"))
    return await _download(call, Spot(told.ref, found.folder, path))


async def _download(call: Call, spot: Spot) -> web.StreamResponse:
    told = await call.tracking.told(spot.ref)
    found = next((a for a in told.logged.artifacts if a.path == spot.full and a.complete), None)
    if found is None:
        raise MlflowError(f"No such artifact: '{spot.path[:200]}'", "RESOURCE_DOES_NOT_EXIST")
    response = web.StreamResponse(headers=_headers(found))
    if told.sealed:
        data = found.data
        response.content_length = len(data)
        await response.prepare(call.request)
        await response.write(data)
    else:
        book = await call.tracking.book(spot.ref.run)
        if book is None:  # sealed since
            return await _download(call, spot)
        response.content_length = found.size
        await response.prepare(call.request)
        for chunk in book.content(spot.ref.span, found):
            await response.write(chunk)
    await response.write_eof()
    return response


def _headers(artifact: Artifact) -> dict[str, str]:
    """A file is handed over as a file: a page of script in it does not run in this origin."""
    name = artifact.path.rsplit("/", 1)[-1]
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
    return {
        "Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{safe}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }


async def list_proxied(call: Call) -> Json:
    """``GET mlflow-artifacts/artifacts?path=…``: a folder; paths are relative to it."""
    address = fields.text(call.body, "path", "")
    spot = await _spot(call, address)
    told = await call.tracking.told(spot.ref)
    return {"files": _listing(told, spot, lambda full: full[len(spot.full) :].lstrip("/"))}


async def list_run(call: Call) -> Json:
    """``artifacts/list``: a folder of a run; paths are from the run's root."""
    told = await call.tracking.told(ref(call))
    path = fields.artifact_path(fields.text(call.body, "path", "").rstrip("/"))
    return {
        "root_uri": artifact_uri(told),
        "files": _listing(told, Spot(told.ref, "", path), lambda full: full),
    }


async def list_model(call: Call) -> Json:
    """``logged-models/MODEL/artifacts/directories``: a folder of a logged model."""
    told, model = await models.find(call, call.path["model"])
    path = fields.artifact_path(fields.text(call.body, "artifact_directory_path", "").rstrip("/"))
    files = _listing(
        told, Spot(told.ref, model.folder, path), lambda full: full[len(model.folder) + 1 :]
    )
    return {"root_uri": artifact_uri(told), "files": files}


def _listing(told: Told, spot: Spot, shown: Callable[[str], str]) -> list[Json]:
    """What lies right in a folder; a run's own has no logged model: clients ask for these apart."""
    below = f"{spot.full}/" if spot.full else ""
    apart = () if spot.folder else _apart(told)
    files: dict[str, Json] = {}
    for artifact in told.logged.artifacts:
        if (
            not artifact.complete
            or not artifact.path.startswith(below)
            or artifact.path.startswith(apart)
        ):
            continue
        name, _, rest = artifact.path[len(below) :].partition("/")
        full = below + name
        if rest:
            files[full] = {"path": shown(full), "is_dir": True}
        else:
            files.setdefault(
                full, {"path": shown(full), "is_dir": False, "file_size": artifact.size}
            )
    return [files[path] for path in sorted(files)]


def _apart(told: Told) -> tuple[str, ...]:
    """The folders of logged models and of traces."""
    models_of = (f"{model.folder}/" for model in told.logged.models)
    return (*models_of, *(f"{traces.folder(trace)}/" for trace in told.logged.traces))


async def delete(_: Call) -> Json:
    """``DELETE mlflow-artifacts/artifacts/…``: what is recorded stays."""
    raise not_kept("Deletions are")


async def multipart(_: Call) -> Json:
    """``mlflow-artifacts/mpu/…`` and presigned routes: files come by the proxy."""
    raise not_kept("Multipart uploads are")
