"""``mlflow/index.html``: the official page, with a policy and our script before its own.

A policy in a page keeps Chromium from asking ahead for what stands after it. So the files that the
first rows wait for are named before it, and our scripts are one file (``shim.js``).
"""

import re
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
    "images.js",
    "api.js",
    "links.js",
    "leftout.js",
    "ahead.js",
    "install.js",
)
SCRIPT: Final = "shim.js"  # all of them, in this order
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
    asked = re.findall(r'(?:src|href)="(static-files/static/[^"]+\.(?:js|css))"', original)
    ahead = "".join(
        f'<link rel="preload" as="{"style" if name.endswith(".css") else "script"}" href="{name}"/>'
        for name in (SCRIPT, *asked)
    )
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
    return original.replace(_ANCHOR, f'{_ANCHOR}{ahead}{policy}<script src="{SCRIPT}"></script>')


def script() -> bytes:
    """Our scripts as one; each is a strict function of its own."""
    return b"".join((SHIM / name).read_bytes() for name in SCRIPTS)
