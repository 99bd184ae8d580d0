"""The site's files: media types, ETags, ranges; no listing, and no way out of the folder."""

import re
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Response, abort, redirect, request, send_file
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from spanbook_viewer.guard import ARTIFACT_FOLDER, policy
from spanbook_viewer.media import COMPRESSED_TYPES, media_type

_HASHED = re.compile(r"[.-][0-9a-f]{8,64}\.[a-z0-9.]+$")  # uPlot.1f3a9c2b.js
MAX_COMPRESSED = 32 << 20  # bytes; read whole, so not without bound
_NAMED_BY_CONTENT = ("static/", "mlflow/static-files/static/")
FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"  # keep it, but ask whether it is still the same


def find(site: Path, path: str) -> Path | None:
    """The file or folder of a URL path; None where there is none, or it lies outside the site.

    Hidden files are the builder's own, half-written ones too, and are not found.
    """
    if any(part.startswith(".") for part in path.split("/")) or "\0" in path:
        return None
    joined = safe_join(str(site), path)
    if joined is None:
        return None
    try:
        found = Path(joined).resolve(strict=True)
        return found if found.is_relative_to(site.resolve()) else None
    except (OSError, RuntimeError, ValueError):  # gone, a loop of links, too long a name
        return None


def files_blueprint(site: Path) -> Blueprint:
    """The blueprint that serves ``site``."""
    blueprint = Blueprint("site", __name__)

    @blueprint.get("/", defaults={"path": ""})
    @blueprint.get("/<path:path>")
    def file(path: str) -> Response:
        found = find(site, path)
        if found and found.is_dir():
            if path and not path.endswith("/"):
                query = request.query_string.decode("ascii", "replace")
                target = f"/{path.lstrip('/')}/"  # two slashes in front would name a host
                return redirect(f"{target}?{query}" if query else target, 308)  # type: ignore[return-value]
            found = find(site, f"{path}index.html")
        elif path.endswith("/"):
            found = None
        if found is None or not found.is_file():
            abort(404, f"There is no page /{path} in this site. The list of runs is at /.")
        return answer(found, path)

    return blueprint


def answer(found: Path, path: str) -> Response:
    """One file as a response; ``path`` is its address."""
    kind = media_type(found.name)
    try:
        response = _content(found, kind)
    except FileNotFoundError as error:  # replaced by the builder in this moment
        raise NotFound(f"/{path} was just removed.") from error
    if kind.startswith("text/"):
        response.headers["Content-Type"] = f"{kind}; charset=utf-8"
    hashed = "v" in request.args or _HASHED.search(found.name)
    keep = FOREVER if hashed and path.startswith(_NAMED_BY_CONTENT) else ASK_FIRST
    response.headers["Cache-Control"] = keep
    response.headers["Content-Security-Policy"] = policy(path, kind)
    if ARTIFACT_FOLDER not in path.split("/"):  # a sandboxed page there shows images beside it
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _content(found: Path, kind: str) -> Response:
    """The file whole, for compression, or as a stream that has ranges.

    A range of a compressed answer would be one of other bytes, so no file has both.
    """
    status = found.stat()
    etag = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
    if kind not in COMPRESSED_TYPES or status.st_size > MAX_COMPRESSED:
        return send_file(found, mimetype=kind, conditional=True, etag=etag)
    response = Response(found.read_bytes(), mimetype=kind)
    response.set_etag(etag)
    response.last_modified = datetime.fromtimestamp(status.st_mtime, UTC)
    response.make_conditional(request)
    return response
