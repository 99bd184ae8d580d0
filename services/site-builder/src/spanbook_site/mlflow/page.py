"""``mlflow/index.html``: the official page, with a policy and our scripts before its own."""

from pathlib import Path
from typing import Final

from spanbook_site.mlflow.wheel import VERSION, MlflowUiError

SHIM: Final = Path(__file__).parent / "shim"
SCRIPTS: Final = (
    "errors.js",
    "lexer.js",
    "filter.js",
    "table.js",
    "search.js",
    "data.js",
    "graphql.js",
    "history.js",
    "artifacts.js",
    "models.js",
    "api.js",
    "links.js",
    "install.js",
)
# Plotly's WebGL plots compile code (unsafe-eval), and the UI sets styles from script. No other
# page of the site has either.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self' blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob:",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
    )
)
_ANCHOR = '<meta charset="utf-8"/>'


def index(original: str) -> str:
    """The official ``index.html`` with our tags added and nothing else changed.

    Raises:
        MlflowUiError: the page is not as the pinned version's is.
    """
    if original.count(_ANCHOR) != 1 or "<script defer" not in original:
        raise MlflowUiError(
            f"The UI's index.html is not that of MLflow {VERSION}: it has no {_ANCHOR!r}, "
            "or no deferred script. Fetch the UI again."
        )
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
    scripts = "".join(f'<script src="shim/{name}"></script>' for name in SCRIPTS)
    return original.replace(_ANCHOR, _ANCHOR + policy + scripts)
