"""``data/history.json``: which run files a site has, and where its runs came from.

The next publish builds from it, and a pull request's run is compared with the newest that it lists.
"""

from collections.abc import Iterable
from typing import Any

from spanbook_runfile.paths import RUN_ID

from spanbook_site.origins import Ledger
from spanbook_site.record import Record

VERSION = 1


def index(records: Iterable[Record], ledger: Ledger) -> dict[str, Any]:
    """What ``data/history.json`` says of a site: its runs' files, and what the ledger knows."""
    kept = {r.key: r for r in records if r.file and not r.live and RUN_ID.fullmatch(r.key)}
    return {
        "version": VERSION,
        "runs": {
            key: {
                "file": r.file,
                "size": r.file_size,
                "sha256": r.sha256,
                "trimmed": r.trimmed,
                "main": r.main,
                "pipeline": r.pipeline,
                "start": r.start,
            }
            for key, r in sorted(kept.items())
        },
        "origins": ledger.as_json(only=kept),
    }


__all__ = ["VERSION", "index"]
