"""The command ``spanbook-collector``."""

import asyncio
import logging
import sys
from collections.abc import Sequence

from spanbook_collector.errors import CollectorError
from spanbook_collector.server import serve
from spanbook_collector.settings import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the collector; exit code 0 after a stop on request, 1 on a fault, 2 on wrong usage."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(settings))
    except CollectorError as error:
        print(f"spanbook-collector: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
