"""``POST /import``: the one write. A run file, or the zip that GitHub gives for an artifact.

Nothing of an upload is believed: its size is capped before it is parsed, a zip is unpacked in
memory up to the same cap, and a run file is kept only if it parses, bears a run id and has the
digest that its seal says.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, jsonify, request
from spanbook_runfile import NotARunFileError, Run, TooLargeError, parse_run
from spanbook_runfile.digest import is_whole
from spanbook_runfile.errors import NotAZipError
from spanbook_runfile.paths import RUN_ID
from spanbook_runfile.zips import unzip

from spanbook_viewer.errors import ImportRefusedError
from spanbook_viewer.guard import same_origin

MAX_MEMBERS = 2_000  # of a zip
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Imported:
    """A run file that is now in the folder; ``new`` is False where it was there before."""

    run: str
    pipeline: str
    state: str
    new: bool


def import_blueprint(runs: Path, max_bytes: int) -> Blueprint:
    """The blueprint with ``/import``, which writes into ``runs`` and nowhere else."""
    blueprint = Blueprint("import", __name__)

    @blueprint.post("/import")
    def import_runs() -> tuple[Response, int]:
        if not same_origin():
            return _refused(
                "Only a page of this viewer may import; this request came from elsewhere."
            ), 403
        imported: list[Imported] = []
        refused: list[dict[str, str]] = []
        status = 0
        try:
            for name, content in run_files(_body(max_bytes), max_bytes):
                try:
                    imported.append(keep(runs, content, name))
                except ImportRefusedError as error:
                    status = status or error.status
                    refused.append({"name": name, "reason": str(error)})
        except ImportRefusedError as error:
            status = error.status
            refused.append({"name": "the upload", "reason": str(error)})
        if imported:
            status = 201 if any(one.new for one in imported) else 200
        return jsonify({"imported": imported, "refused": refused}), status

    return blueprint


def _refused(reason: str) -> Response:
    return jsonify({"imported": [], "refused": [{"name": "the upload", "reason": reason}]})


def _body(max_bytes: int) -> bytes:
    """The request's body, whole, never more than ``max_bytes`` of it in memory."""
    if (request.content_length or 0) <= max_bytes:
        content = request.environ["wsgi.input"].read(max_bytes + 1)
        if len(content) <= max_bytes:
            return bytes(content)
    raise ImportRefusedError(
        f"The upload is larger than {max_bytes >> 20} MB. If you trust it, put it into the folder "
        "of run files by hand, or start the viewer with a larger SPANBOOK_MAX_IMPORT_MB.",
        413,
    )


def run_files(content: bytes, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """The run files in an upload as (name, bytes): itself, or the ``.json`` files of a zip.

    Raises:
        ImportRefusedError: it is empty, a broken or protected zip, or it unpacks to too much.
    """
    if not content:
        raise ImportRefusedError("The upload is empty: send the file itself as the request's body.")
    if not content.startswith(b"PK"):
        yield "the file", content
        return
    found = False
    try:
        for member in unzip(
            io.BytesIO(content), most=max_bytes, most_members=MAX_MEMBERS, suffix=".json"
        ):
            found = True
            yield member
    except NotAZipError as error:
        raise ImportRefusedError(str(error)) from error
    except TooLargeError as error:
        raise ImportRefusedError(
            f"{error} If you trust it, unpack it yourself, or start the viewer with a larger SPANBOOK_MAX_IMPORT_MB "
            f"(it is {max_bytes >> 20}).",
            413,
        ) from error
    if not found:
        raise ImportRefusedError("There is no .json file in the zip, so no run file either.")


def check(content: bytes, name: str) -> Run:
    """The run of a sealed run file whose digest is right.

    Raises:
        ImportRefusedError: it is no such file.
    """
    try:
        run = parse_run(content.removeprefix(_BOM), name=name)
    except NotARunFileError as error:
        raise ImportRefusedError(str(error)) from error
    if run.seal is None or not run.seal.digest:
        raise ImportRefusedError(
            f"{name} is OTLP JSON, but not sealed: it has no 'spanbook' member with a digest. "
            "`spanbook import` makes a run file of a spool or journal."
        )
    if not RUN_ID.fullmatch(run.id) or not int(run.id, 16):
        raise ImportRefusedError(f"{name} bears no run id of its own.")
    if not is_whole(content):
        raise ImportRefusedError(
            f"{name} was changed after it was sealed: its bytes do not have the digest that its "
            "seal says. Take the file from where it was made."
        )
    return run


def keep(runs: Path, content: bytes, name: str) -> Imported:
    """Write a run file into ``runs`` as ``<run id>.json``, whole, read-only, never over another.

    Raises:
        ImportRefusedError: it is no good run file, another one has its id, or the disk refused.
    """
    run = check(content, name)
    target = runs / f"{run.id}.json"
    try:
        if _write_new(target, content):
            return Imported(run.id, run.pipeline, run.state, new=True)
        same = target.read_bytes() == content
    except OSError as error:
        raise ImportRefusedError(
            f"{target.name} cannot be written ({error.strerror}): the viewer needs the folder of "
            "run files mounted with write access to import.",
            507,
        ) from error
    if not same:
        raise ImportRefusedError(
            f"There is another run file {target.name} already; that one stays as it is.",
            409,
        )
    return Imported(run.id, run.pipeline, run.state, new=False)


def _write_new(target: Path, content: bytes) -> bool:
    """Write aside, durable and read-only, then link into place; False where the name is taken."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.stem}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with aside.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        try:
            os.link(aside, target)  # unlike a rename, never replaces
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
