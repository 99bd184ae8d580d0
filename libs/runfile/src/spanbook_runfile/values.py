"""Untrusted OTLP JSON as plain values: whatever comes, these give a value and raise nothing."""

import math
from enum import StrEnum
from typing import Any, TypeVar

from spanbook_runfile.model import Json

Object = dict[str, Any]
E_ = TypeVar("E_", bound=StrEnum)
MAX_DEPTH = 64  # of nested values; what lies deeper is left out
_INT64 = range(-(2**63), 2**63)


def value_of(any_value: object, _depth: int = 0) -> Json:
    """An OTLP JSON AnyValue as a plain value; doubles keep NaN and infinities, bytes give None."""
    if not isinstance(any_value, dict) or _depth > MAX_DEPTH:
        return None
    for key, raw in any_value.items():
        if key == "stringValue":
            return text_of(raw)
        if key in _SCALARS:
            scalar: Json = _SCALARS[key](raw)
            return scalar
        if key == "arrayValue":
            return [value_of(v, _depth + 1) for v in list_of(dict_of(raw).get("values"))]
        if key == "kvlistValue":
            return attributes_of(dict_of(raw).get("values"), _depth + 1)
    return None


def attributes_of(pairs: object, _depth: int = 0) -> dict[str, Json]:
    """OTLP JSON attributes as a dict; what is malformed is left out."""
    found: dict[str, Json] = {}
    for pair in list_of(pairs):
        if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
            found[key] = value_of(pair.get("value"), _depth)
    return found


def list_of(value: object) -> list[Any]:
    """A list, empty where the value is none."""
    return value if isinstance(value, list) else []


def dict_of(value: object) -> Object:
    """A JSON object, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """Text, or a number or bool as text; empty for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else ""


def int_of(value: object, default: int = 0) -> int:
    """An integer of 64 bits, also from its decimal text; ``default`` for anything else."""
    if isinstance(value, str) and len(value) > 20:
        return default
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return default
    return int(number) if number in _INT64 else default


def time_of(value: object) -> int | None:
    """Nanoseconds since the epoch; None for 0 and for what is no time."""
    number = int_of(value)
    return number if number > 0 else None


def float_of(value: object) -> float:
    """A float, also from its text; NaN for anything else."""
    if isinstance(value, str | int | float):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return math.nan
    return math.nan


def enum_of(kind: type[E_], value: object, default: E_) -> E_:
    """The enum's member of that value, or the default."""
    try:
        return kind(value if isinstance(value, str) else "")
    except ValueError:
        return default


_SCALARS: dict[str, Any] = {"boolValue": bool, "intValue": int_of, "doubleValue": float_of}
