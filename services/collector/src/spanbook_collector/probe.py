"""The container's health check: exit code 0 where ``/healthz`` answers that all is well."""

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask this machine's collector; 1, with what it said, where it is not well."""
    port = os.environ.get("SPANBOOK_OTLP_HTTP_PORT") or "4318"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/healthz", timeout=4) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace")[:2000], file=sys.stderr)  # noqa: T201
        return 1
    except (OSError, ValueError) as error:
        print(f"http://127.0.0.1:{port}/healthz: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
