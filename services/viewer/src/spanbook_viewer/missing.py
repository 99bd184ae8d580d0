"""What the viewer answers where there is no page: before the first build, for a run to come, else."""

import re
from pathlib import Path

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import NotFound

from spanbook_viewer.files import find
from spanbook_viewer.settings import Settings

_OF_A_RUN = re.compile(r"runs/([0-9a-f]{32})(?:/|$)")
SOON = "2"  # seconds


def wants_page() -> bool:
    """Whether a person's browser asks for a page, not a script or a tool for a file."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")


def no_site(settings: Settings) -> Response:
    """Before the first build: a page that says what it waits for, and turns into the site."""
    return _page("waiting.html", 503, site=settings.site, runs=settings.runs)


def no_page(site: Path, path: str, error: NotFound) -> Response:
    """A 404 as a page; that of a run which is not built yet turns into the run's by itself."""
    run = _OF_A_RUN.match(path)
    if run is None:
        return _page("missing.html", 404, description=error.description, run="")
    home = f"runs/{run[1]}/index.html"
    if find(site, home):
        return _page("missing.html", 404, description=error.description, run=f"/{home}")
    return _page("coming.html", 404, run=run[1])


def _page(template: str, status: int, **values: object) -> Response:
    response = make_response(render_template(template, **values), status)
    response.headers["Cache-Control"] = "no-store"
    if template != "missing.html" or values["run"]:  # a run that goes on has more pages by and by
        response.headers["Retry-After"] = SOON
    return response
