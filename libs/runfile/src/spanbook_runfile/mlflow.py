"""What both ends of MLflow must say alike: ids, limits, and who a run is.

An MLflow run is one span of a run file: an attempt, or a child of one. Its id is the run's id and
the span's, joined. An experiment's id comes from its pipeline and its name.
"""

import hashlib
import re
from typing import Final

MAX_KEY: Final = 250  # characters of a name
MAX_PARAM: Final = 6_000  # characters of a parameter's value
MAX_TAG: Final = 8_000
RUN: Final = re.compile(r"([0-9a-f]{32})([0-9a-f]{16})")
ALONE: Final = "6d6c66"  # "mlf": how the ids of runs begin that MLflow made outside a pipeline


def run_id(run: str, span: str = "") -> str:
    """The MLflow run of a span; without one that of the pipeline run as a whole."""
    return f"{run}{span}"


def experiment_id(pipeline: str, name: str) -> str:
    """An experiment's id: a number, as MLflow's are, of 15 digits that a page can count to."""
    text = f"{pipeline}\0{name}".encode("utf-8", "replace")
    return str(10**14 + int.from_bytes(hashlib.sha256(text).digest()[:8]) % (9 * 10**14))
