"""Who may ask, who may write, what a page may do: Host and Origin checks, and headers."""

from urllib.parse import urlsplit

from flask import Flask, Response, abort, request

from spanbook_viewer.media import runs_script

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
# Where the site-builder puts what came out of run files, and nowhere else: the bytes as they are,
# and pages that hold nothing but a sandboxed frame of one.
ARTIFACT_FOLDER, VIEW_FOLDER = "files", "views"
MODEL_PAGE = ".onnx.html"  # in a view folder too, but ours: it runs the model

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # WebAssembly for the live model; no eval of script
        "worker-src 'self' blob:",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)
# A document out of a run file may run its own scripts, in an origin of its own, and reach nothing.
ARTIFACT_POLICY = "; ".join(
    (
        "sandbox allow-scripts",
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval' data: blob:",
        "style-src 'unsafe-inline' data:",
        "img-src 'self' data: blob:",
        "font-src data:",
        "media-src 'self' data: blob:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)
# The unmodified MLflow UI sets styles from script, and its WebGL plots compile code.
MLFLOW_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self' blob:",
        "frame-src 'self' blob:",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)


def policy(path: str, kind: str) -> str:
    """The Content-Security-Policy of a path in the site, and of its media type."""
    parts = path.split("/")
    shown = VIEW_FOLDER in parts[:-1] and not path.endswith(MODEL_PAGE)
    if shown or (ARTIFACT_FOLDER in parts[:-1] and runs_script(kind)):
        return ARTIFACT_POLICY
    return MLFLOW_POLICY if parts[0] == "mlflow" else PAGE_POLICY


def host_name(netloc: str) -> str:
    """The host in ``host:port``, lower case and without IPv6 brackets; empty where malformed."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def same_origin() -> bool:
    """Whether the request comes from a page of this viewer, or from no browser at all."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin)[:2] in (
        ("http", request.host),
        ("https", request.host),
    )


def guard(app: Flask, allowed_hosts: frozenset[str]) -> None:
    """Check every request's Host header, and set the headers that every answer bears.

    A page on the internet can point its own host name at 127.0.0.1 (DNS rebinding) and would then
    be of one origin with this server; its Host header gives it away.
    """
    hosts = LOCAL_HOSTS | allowed_hosts

    def check_host() -> None:
        asked = host_name(request.headers.get("Host", ""))
        if asked not in hosts and request.path != "/healthz":
            abort(
                403,
                f"You asked for the host {asked!r}, but this viewer answers to "
                f"{', '.join(sorted(hosts))} only, so that no page elsewhere can read it through a "
                f"name of its own. If {asked!r} is yours, set SPANBOOK_ALLOWED_HOSTS={asked}.",
            )

    def set_headers(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Server-Timing"] = "spanbook-viewer"  # how a page knows that it is served live
        return response

    app.before_request(check_host)
    app.after_request(set_headers)
