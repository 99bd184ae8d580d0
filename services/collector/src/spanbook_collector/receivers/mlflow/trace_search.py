"""The search for traces, among what is told of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from spanbook_collector.receivers.mlflow.language import TRACES, Condition, Field, Parser

SOURCE: Final = "mlflow.sourceRun"
About: TypeAlias = Mapping[str, Any]
Found: TypeAlias = list[tuple[str, About]]  # a trace's id, and what is told of it


def duration_ms(about: About) -> int:
    """How long a trace took."""
    return round(float(str(about.get("duration") or "0").removesuffix("s") or 0) * 1000)


def _time(about: About) -> int:
    return int(str(about.get("time", 0)))


_ATTRIBUTES: Final[dict[str, Callable[[str, About], Any]]] = {
    "request_id": lambda trace, _: trace,
    "status": lambda _, about: about.get("state"),
    "client_request_id": lambda _, about: about.get("client") or None,
    "name": lambda _, about: about.get("name") or None,
    "run_id": lambda _, about: (about.get("metadata") or {}).get(SOURCE),
    "experiment_id": lambda _, about: about.get("experiment"),
    "timestamp": lambda _, about: _time(about),
    "timestamp_ms": lambda _, about: _time(about),
    "execution_time": lambda _, about: duration_ms(about),
    "execution_time_ms": lambda _, about: duration_ms(about),
    "end_time": lambda _, about: _time(about) + duration_ms(about),
    "end_time_ms": lambda _, about: _time(about) + duration_ms(about),
}


def _values(trace: str, about: About, field: Field) -> list[Any]:
    """A field's value in one trace: none, or one."""
    if field.kind == "attribute":
        value = _ATTRIBUTES[field.key](trace, about)
    else:
        value = (about.get("tags" if field.kind == "tag" else "metadata") or {}).get(field.key)
    return [] if value is None else [value]


def search(text: str, order_by: Sequence[str]) -> Callable[[Found], Found]:
    """A search for traces: by default the newest first.

    Raises:
        MlflowError: filter or order are not of MLflow's language.
    """
    conditions: list[Condition] = list(Parser(text, "filter", _ATTRIBUTES, TRACES).conditions())
    order = [Parser(clause, "order_by", _ATTRIBUTES, TRACES).clause() for clause in order_by]

    def answer(found: Found) -> Found:
        found = [
            (trace, about)
            for trace, about in found
            if all(c.compares(_values(trace, about, c.field)) for c in conditions)
        ]
        found.sort(key=lambda pair: _time(pair[1]), reverse=True)
        for field, ascending in reversed(order):
            valued = [(_values(*pair, field), pair) for pair in found]
            have = [(values[0], pair) for values, pair in valued if values]
            have.sort(key=lambda each: each[0], reverse=not ascending)
            found = [pair for _, pair in have] + [pair for values, pair in valued if not values]
        return found

    return answer
