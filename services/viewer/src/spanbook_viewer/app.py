"""The Flask application: the site's files, ``/events``, ``/import`` and ``/healthz``."""

from flask import Flask, Response, jsonify, request
from flask_compress import Compress
from werkzeug.exceptions import HTTPException, NotFound

from spanbook_viewer.changes import Changes
from spanbook_viewer.events import events_blueprint
from spanbook_viewer.files import files_blueprint, find
from spanbook_viewer.guard import guard
from spanbook_viewer.imports import import_blueprint
from spanbook_viewer.media import COMPRESSED_TYPES
from spanbook_viewer.missing import no_page, no_site, wants_page
from spanbook_viewer.settings import Settings

MANIFEST = "data/build.json"  # written last by the site-builder: page → version
MOST_STREAMS = 32
CHANGES = "spanbook-changes"  # key in app.extensions


def create_app(settings: Settings) -> Flask:
    """The viewer of one site as a WSGI application."""
    app = Flask(__name__, static_folder="static", static_url_path="/_viewer")
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_import_bytes,
        COMPRESS_MIMETYPES=COMPRESSED_TYPES,
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,
    )
    changes = Changes(settings.site / MANIFEST)
    app.extensions[CHANGES] = changes

    def built() -> bool:
        return find(settings.site, "index.html") is not None

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok", site=built())

    @app.errorhandler(HTTPException)
    def tell(error: HTTPException) -> Response:
        """Every refusal as plain text that says what is wrong; a page that is not there as a page."""
        if isinstance(error, NotFound):
            if not built() and request.accept_mimetypes.accept_html:
                return no_site(settings)
            if wants_page():
                return no_page(settings.site, request.path.lstrip("/"), error)
        text = f"{error.code} {error.name}\n\n{error.description}\n"
        response = Response(text, error.code, content_type="text/plain; charset=utf-8")
        if request.method not in ("GET", "HEAD", "POST"):
            response.headers["Allow"] = "GET, HEAD"
        return response

    guard(app, settings.allowed_hosts)
    Compress(app)
    app.register_blueprint(events_blueprint(changes, MOST_STREAMS))
    app.register_blueprint(import_blueprint(settings.runs, settings.max_import_bytes))
    app.register_blueprint(files_blueprint(settings.site))
    return app
