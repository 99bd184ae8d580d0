"""Numbers and times as MLflow's JSON has them."""

import math
import sys
from typing import Final

MAX_FLOAT: Final = sys.float_info.max  # what MLflow's server keeps of an infinity


def value_json(value: float) -> float | str:
    """A value as JSON can hold it."""
    return "NaN" if math.isnan(value) else value


def finite(value: float) -> float:
    """A value as MLflow keeps it."""
    if math.isinf(value):
        return math.copysign(MAX_FLOAT, value)
    return float(value)


def ms(ns: int | None) -> int | None:
    """Nanoseconds as milliseconds."""
    return None if ns is None else ns // 1_000_000
