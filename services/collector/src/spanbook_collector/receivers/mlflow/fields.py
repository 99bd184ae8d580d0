"""What a request says, read with MLflow's own rules: types, names, and how long each may be."""

import json
import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spanbook_runfile.mlflow import MAX_KEY, MAX_PARAM, MAX_TAG

from spanbook_collector.receivers.mlflow.errors import MlflowError

MAX_METRICS: Final = 1000  # in one batch
MAX_PARAMS_OR_TAGS: Final = 100
MAX_ENTITIES: Final = 1000
_NAME: Final = re.compile(r"[/\w.\- :]*")
_INT64: Final = range(-(2**63), 2**63)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a metric; ``time`` in ms."""

    key: str
    value: float
    time: int
    step: int
    model: str = ""
    dataset: str = ""
    digest: str = ""


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def invalid(path: str, value: object, why: str = "") -> MlflowError:
    """A value that will not do, in MLflow's words."""
    told = f"Invalid value {_shown(value)} for parameter '{path}' supplied"
    return MlflowError(f"{told}: {why}" if why else f"{told}.")


def lacking(path: str) -> MlflowError:
    """A value that must be there, and is not."""
    return MlflowError(
        f"Missing value for required parameter '{path}'. "
        "See the API docs for more information about request parameters."
    )


def text(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A text; required where there is no default.

    Raises:
        MlflowError: it is missing, or no text.
    """
    value = body.get(key)
    if value is None or (value == "" and default is None):
        if default is None:
            raise lacking(key)
        return default
    if not _is_text(value):
        raise invalid(key, value, "it must be a string")
    return str(value)


def _is_text(value: object) -> bool:
    """Whether it is text that can be written: half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def whole(body: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A 64-bit integer, also as text.

    Raises:
        MlflowError: it is missing, or none.
    """
    value = body.get(key, default)
    if value is None:
        raise lacking(key)
    number = _whole(value)
    if number is None:
        raise invalid(key, value, "it must be a 64-bit integer")
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value in _INT64 else None


def items(body: Mapping[str, Any], key: str) -> list[Json]:
    """A list of objects, empty where it is missing.

    Raises:
        MlflowError: it is something else.
    """
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise invalid(key, value, "it must be a list of objects")
    return value


def texts(body: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts, or one text for a list of it.

    Raises:
        MlflowError: it is something else.
    """
    value = body.get(key, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise invalid(key, value, "it must be a list of strings")
    return value


def name(key: object, path: str, what: str) -> str:
    """The name of a metric, parameter or tag.

    Raises:
        MlflowError: MLflow takes no such name.
    """
    if key is None or key == "":
        raise lacking(path)
    if not isinstance(key, str):
        raise invalid(path, key, "it must be a string")
    if len(key) > MAX_KEY:
        raise MlflowError(
            f"{what} name {_shown(key)} had length {len(key)}, which exceeded length limit of "
            f"{MAX_KEY}: '{path}' exceeds the maximum length of {MAX_KEY} characters"
        )
    if not _NAME.fullmatch(key):
        raise invalid(
            path,
            key,
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), "
            "spaces ( ), colon(:), and slashes (/).",
        )
    normal = posixpath.normpath(key)
    if normal != key or normal == "." or normal.startswith(("..", "/")):
        raise invalid(
            path,
            key,
            "Names may be treated as files in certain cases, and must not resolve to other names "
            f"when treated as such. This name would resolve to {normal!r}",
        )
    return key


def param(item: Mapping[str, Any], path: str = "") -> tuple[str, str]:
    """A parameter's key and value, a long value cut as MLflow's server cuts it.

    Raises:
        MlflowError: one of them will not do.
    """
    key = name(item.get("key"), f"{path}key", "Param")
    return key, text(item, "value", "")[:MAX_PARAM]


def tag(item: Mapping[str, Any], path: str = "", limit: int = MAX_TAG) -> tuple[str, str]:
    """A tag's key and value, a long value cut as MLflow's server cuts it.

    Raises:
        MlflowError: one of them will not do.
    """
    key = name(item.get("key"), f"{path}key", "Tag")
    return key, text(item, "value", "")[:limit]


def point(item: Mapping[str, Any], path: str = "") -> Point:
    """A metric's point.

    Raises:
        MlflowError: something of it will not do.
    """
    key = name(item.get("key"), f"{path}key", "Metric")
    value = _number(item.get("value"), f"{path}value", item)
    if item.get("timestamp") is None:
        raise lacking(f"{path}timestamp")
    time = _whole(item["timestamp"])
    if time is None or time < 0:
        raise invalid(
            f"{path}timestamp",
            item.get("timestamp"),
            f"metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) ",
        )
    step = _whole(item.get("step", 0))
    if step is None:
        raise invalid(
            f"{path}step",
            item.get("step"),
            f"metric '{key}' (value={value}). Step must be a valid long (64-bit integer).",
        )
    about = (text(item, field, "") for field in ("model_id", "dataset_name", "dataset_digest"))
    return Point(key, value, time, step, *about)


def _number(value: object, path: str, item: Mapping[str, Any]) -> float:
    if value is None:
        raise lacking(path)
    if isinstance(value, str) and len(value) <= 400:
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    raise invalid(
        path,
        value,
        f"(timestamp={_shown(item.get('timestamp'))}). "
        "Please specify value as a valid double (64-bit floating point)",
    )


def at_most(entities: Sequence[object], what: str, limit: int) -> None:
    """Refuse a batch that is too large.

    Raises:
        MlflowError: it is.
    """
    if len(entities) > limit:
        raise MlflowError(
            f"A batch logging request can contain at most {limit} {what}. Got {len(entities)} "
            f"{what}. Please split up {what} across multiple requests and try again."
        )


def artifact_path(path: str) -> str:
    """A relative path with forward slashes that stays in its folder; empty for the folder itself.

    Raises:
        MlflowError: it leads elsewhere, or has parts that a disk or a page could misread.
    """
    if path in ("", "."):
        return ""
    parts = path.split("/")
    if (
        path.startswith(("/", "~"))
        or "\\" in path
        or path[1:2] == ":"
        or any(part in ("", ".", "..") for part in parts)
        or not path.isprintable()
        or "%2e" in path.lower()
        or "%2f" in path.lower()
        or "%5c" in path.lower()
        or len(path) > 1000
    ):
        raise MlflowError("Invalid path")  # no more, as MLflow's server says it
    return path


def metadata_number(value: float) -> float | str:
    """A float as protobuf's JSON has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
