"""What a sealed run file holds, so that a client's retry is told from late data after a restart."""

import logging
from pathlib import Path

from spanbook_runfile.errors import NotOtlpError
from spanbook_runfile.fromjson import to_protobuf
from spanbook_runfile.journal import Signal

from spanbook_collector.errors import Invalid
from spanbook_collector.route import facts_of
from spanbook_collector.tally import Tally

log = logging.getLogger(__name__)
MOST = 32 << 20  # bytes; what comes for a larger file is kept as late data without a look


def tally_of(path: Path) -> Tally:
    """The tally of a run file; an empty one where it is too large or not to be read."""
    tally = Tally()
    try:
        if path.stat().st_size <= MOST:
            content = path.read_bytes()
            for signal in Signal:  # a run file is TracesData, LogsData and MetricsData at once
                tally.add(signal, facts_of(signal, to_protobuf(signal, content)))
    except (OSError, NotOtlpError, Invalid) as error:
        log.warning("%s: what it holds cannot be told (%s).", path, error)
    return tally
