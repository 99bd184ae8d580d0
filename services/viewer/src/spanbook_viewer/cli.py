"""The command ``spanbook-viewer``."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from spanbook_viewer.errors import ViewerError
from spanbook_viewer.server import serve
from spanbook_viewer.settings import settings_from

USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="spanbook-viewer",
        description="Serve the static tracker on this machine, live: open pages follow a run in "
        "progress, and a run file dropped on a page is imported.",
        epilog="Flags win over variables. SPANBOOK_MAX_IMPORT_MB (64) bounds an import, and what a "
        "zip unpacks to. Exit codes: 0 stopped, 2 usage (a bad value, a port in use).",
    )
    out.add_argument("--version", action="version", version=version("spanbook-viewer"))
    out.add_argument("--site", metavar="DIR", help="the site [$SPANBOOK_OUTPUTS/site]")
    out.add_argument(
        "--runs", metavar="DIR", help="where imported run files go [$SPANBOOK_OUTPUTS/runs]"
    )
    out.add_argument("--host", help="address to listen on [$SPANBOOK_VIEWER_HOST, 127.0.0.1]")
    out.add_argument("--port", help="port; 0 takes any free one [$SPANBOOK_VIEWER_PORT, 8080]")
    out.add_argument(
        "--allowed-hosts",
        metavar="NAMES",
        help="host names, with commas, that requests may use beside localhost, 127.0.0.1 and [::1] "
        "[$SPANBOOK_ALLOWED_HOSTS]",
    )
    out.add_argument(
        "--ready-file",
        metavar="FILE",
        type=Path,
        help="write the address as JSON (url, host, port, pid) here once the viewer answers",
    )
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    args = vars(parser().parse_args(argv))
    ready_file = args.pop("ready_file")
    flags = {name.replace("_", "-"): value for name, value in args.items()}
    try:
        serve(settings_from(os.environ, **flags), ready_file)
    except ViewerError as error:
        print(f"spanbook-viewer: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0
