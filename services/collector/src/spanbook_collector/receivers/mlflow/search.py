"""MLflow's search: its filter language, its order, and its pages."""

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spanbook_runfile.model import LoggedModel

from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.records import MS
from spanbook_collector.receivers.mlflow.shelf import Known
from spanbook_collector.receivers.mlflow.views import Told

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")
    | (?P<quoted>`[^`]*`)
    | (?P<op><=|>=|!=|=|<|>|\(|\)|,|\.)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
    | (?P<word>[^\s'"`=<>!(),.]+)
    )""",
    re.VERBOSE,
)
_KINDS: Final = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_ATTRIBUTES: Final[dict[str, Callable[[Told], Any]]] = {
    "run_id": lambda told: told.ref.id,
    "run_name": lambda told: told.name,
    "status": lambda told: told.status,
    "user_id": lambda told: told.user,
    "artifact_uri": lambda told: told.ref.id,
    "start_time": lambda told: told.start // MS,
    "end_time": lambda told: told.end // MS if told.end else None,
}
_ALIASES: Final = {
    "Run name": "run_name",
    "run name": "run_name",
    "name": "run_name",
    "Created": "start_time",
    "created": "start_time",
    "start": "start_time",
    "User": "user_id",
    "user": "user_id",
    "Run ID": "run_id",
    "id": "run_id",
}
_NUMERIC: Final = {
    "start_time",
    "end_time",
    "creation_time",
    "last_update_time",
    "creation_timestamp",
    "creation_timestamp_ms",
    "last_updated_timestamp",
}
_OF_EXPERIMENTS: Final = ("experiment_id", "name", "creation_time", "last_update_time")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def token(begin: int) -> str:
    """What asks for the page that begins there."""
    return base64.b64encode(json.dumps({"offset": begin}).encode()).decode()


def offset(page_token: str) -> int:
    """Where a page begins.

    Raises:
        MlflowError: the token is none of ours.
    """
    if not page_token:
        return 0
    try:
        begin = json.loads(base64.b64decode(page_token))["offset"]
        if isinstance(begin, int) and begin >= 0:
            return begin
    except (ValueError, KeyError, TypeError):
        pass
    raise MlflowError("Invalid page token, could not be decoded.")


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared or sorted by, such as ``metrics.loss`` or ``attributes.status``."""

    kind: str
    key: str

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind == "metric" or (self.kind == "attribute" and self.key in _NUMERIC)

    def of(self, told: Told) -> list[Any]:
        """Its values in one run: none, one, or one a dataset."""
        if self.kind == "dataset":
            return [
                value
                for dataset in told.logged.datasets
                for value in (
                    [dataset.tags.get("mlflow.data.context")]
                    if self.key == "context"
                    else [getattr(dataset, self.key)]
                )
                if value is not None
            ]
        if self.kind == "attribute":
            value = _ATTRIBUTES[self.key](told)
        elif self.kind == "metric":
            point = told.metrics.get(self.key)
            value = point[0] if point else None
        else:
            value = (told.params if self.kind == "param" else told.tags).get(self.key)
        return [] if value is None else [value]


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison."""

    field: Field
    op: str
    value: Any

    def holds(self, told: Told) -> bool:
        """Whether a run has it; one without the field has not, but for IS NULL."""
        return self.compares(self.field.of(told))

    def compares(self, values: Sequence[Any]) -> bool:
        """Whether one of these values has it."""
        if self.op == "IS NULL":
            return not values
        if self.op == "IS NOT NULL":
            return bool(values)
        return any(self._compared(value) for value in values)

    def _compared(self, value: Any) -> bool:
        if self.op in ("IN", "NOT IN"):
            return (value in self.value) == (self.op == "IN")
        if self.op in ("LIKE", "ILIKE"):
            return _like(self.value, str(value), folded=self.op == "ILIKE")
        if isinstance(value, float) and math.isnan(value):
            value = 0.0 if self.op != "=" else math.nan
        return _COMPARE[self.op](value, self.value)


def _like(pattern: str, text: str, *, folded: bool) -> bool:
    """SQL's LIKE: % is any text, _ any character."""
    parts = {"%": ".*", "_": "."}
    regex = "".join(parts.get(c, re.escape(c)) for c in pattern)
    flags = re.DOTALL | (re.IGNORECASE if folded else 0)
    return re.fullmatch(regex, text, flags) is not None


@dataclass(frozen=True, slots=True)
class Query:
    """A filter and an order."""

    conditions: tuple[Condition, ...]
    order: tuple[tuple[Field, bool], ...]

    @classmethod
    def parse(cls, text: str, order_by: Sequence[str]) -> "Query":
        """Read both.

        Raises:
            MlflowError: they are not of MLflow's language.
        """
        return cls(
            tuple(_Parser(text, "filter").conditions()),
            tuple(_Parser(clause, "order_by").clause() for clause in order_by),
        )

    def answer(self, runs: Iterable[Told]) -> list[Told]:
        """The runs that it finds, in its order: by default the newest first."""
        found = [told for told in runs if all(c.holds(told) for c in self.conditions)]
        found.sort(key=lambda told: told.ref.id)
        found.sort(key=lambda told: told.start, reverse=True)
        for field, ascending in reversed(self.order):
            found = _sorted(found, field, ascending=ascending)
        return found


def _sorted(runs: list[Told], field: Field, *, ascending: bool) -> list[Told]:
    """Sorted by one field; NaN behind the numbers, and runs without it last."""
    valued = [(values[0], told) for told in runs if (values := field.of(told))]
    numbers = [v for v in valued if not (isinstance(v[0], float) and math.isnan(v[0]))]
    odd = [told for value, told in valued if isinstance(value, float) and math.isnan(value)]
    numbers.sort(key=lambda pair: pair[0], reverse=not ascending)
    without = [told for told in runs if not field.of(told)]
    return [told for _, told in numbers] + odd + without


def experiments(found: list[Known], text: str, order_by: Sequence[str]) -> list[Known]:
    """The experiments that a filter finds, in order: by default those changed last first.

    Raises:
        MlflowError: filter or order are not of MLflow's language.
    """
    conditions = list(_Parser(text, "filter", _OF_EXPERIMENTS).conditions())
    order = [_Parser(clause, "order_by", _OF_EXPERIMENTS).clause() for clause in order_by]
    found = [k for k in found if all(c.compares(_of_experiment(k, c.field)) for c in conditions)]
    found.sort(key=lambda known: known.updated, reverse=True)
    for by, ascending in reversed(order):
        found.sort(key=lambda k: (_of_experiment(k, by) or [""])[0], reverse=not ascending)
    return found


def _of_experiment(known: Known, field: Field) -> list[Any]:
    if field.kind == "tag":
        return [known.tags[field.key]] if field.key in known.tags else []
    return [
        {
            "experiment_id": known.id,
            "name": known.name,
            "creation_time": known.created,
            "last_update_time": known.updated,
        }.get(field.key, "")
    ]


class _Parser:
    """Reads one text, token by token."""

    def __init__(self, text: str, what: str, attributes: Iterable[str] = _ATTRIBUTES) -> None:
        self.text, self.what, self.attributes = text, what, sorted(attributes)
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.fault()
            at = found.end()
            self.tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
        self.at = 0

    def fault(self, why: str = "") -> MlflowError:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        return MlflowError(f"Invalid {self.what} clause '{shown}'. {why}".strip())

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("", "")

    def take(self) -> tuple[str, str]:
        kind, value = self.peek()
        self.at += 1
        return kind, value

    def word(self, *words: str) -> bool:
        """Take these words, where they come next."""
        for ahead, word in enumerate(words):
            kind, value = self.peek(ahead)
            if kind != "word" or value.upper() != word:
                return False
        self.at += len(words)
        return True

    def conditions(self) -> Iterable[Condition]:
        if not self.tokens:
            return
        while True:
            yield self.condition()
            if self.at == len(self.tokens):
                return
            if not self.word("AND"):
                raise self.fault("Conditions are joined by AND; OR and brackets are not known.")

    def condition(self) -> Condition:
        field = self.field()
        if self.word("IS", "NOT", "NULL"):
            return self.null(field, "IS NOT NULL")
        if self.word("IS", "NULL"):
            return self.null(field, "IS NULL")
        if self.word("NOT", "IN"):
            return self.among(field, "NOT IN")
        if self.word("IN"):
            return self.among(field, "IN")
        for op in ("LIKE", "ILIKE"):
            if self.word(op):
                return Condition(field, op, self.value(field, op))
        kind, op = self.take()
        if kind != "op" or op not in _COMPARE:
            raise self.fault(f"{op[:40]!r} is no comparison.")
        if not field.is_number and op not in ("=", "!="):
            raise self.fault(f"{field.kind}s are compared by =, !=, LIKE and ILIKE.")
        return Condition(field, op, self.value(field, op))

    def null(self, field: Field, op: str) -> Condition:
        if field.kind not in ("param", "tag"):
            raise self.fault(f"{op} is for tags and parameters.")
        return Condition(field, op, None)

    def among(self, field: Field, op: str) -> Condition:
        allowed = field.kind == "dataset" or (field.kind == "attribute" and field.key == "run_id")
        if not allowed:
            raise self.fault(f"{op} is for the attribute 'run_id' and for datasets.")
        if self.take() != ("op", "("):
            raise self.fault(f"{op} takes a list in brackets.")
        values = []
        while True:
            kind, value = self.take()
            if kind != "text":
                raise self.fault("A list holds quoted strings.")
            values.append(_unquoted(value))
            kind, value = self.take()
            if (kind, value) == ("op", ")"):
                return Condition(field, op, tuple(values))
            if (kind, value) != ("op", ","):
                raise self.fault("A list's values are parted by commas.")

    def value(self, field: Field, op: str) -> Any:
        kind, value = self.take()
        if field.is_number:
            if kind != "number" or op in ("LIKE", "ILIKE"):
                raise self.fault(
                    f"Expected numeric value type for {field.kind}. Found {value[:40]}."
                )
            return float(value)
        if kind != "text":
            raise self.fault(
                f"Expected a quoted string value for {field.kind} (e.g. 'my-value'). "
                f"Got value {value[:40]}."
            )
        return _unquoted(value)

    def field(self) -> Field:
        kind, first = self.take()
        if kind not in ("word", "quoted", "text"):
            raise self.fault("It must begin with a field, such as metrics.loss.")
        if self.peek() != ("op", "."):
            return self.attribute(_bare(kind, first))
        entity = _KINDS.get(first)
        if entity is None:
            raise self.fault(
                f"Invalid entity type '{first[:40]}'. Valid values are ['metric', 'parameter', "
                "'tag', 'attribute', 'dataset']"
            )
        self.take()
        key = self.rest()
        if entity == "attribute":
            return self.attribute(key)
        if entity == "dataset" and key not in ("name", "digest", "context"):
            raise self.fault(f"Invalid dataset attribute '{key[:40]}'.")
        return Field(entity, key)

    def attribute(self, key: str) -> Field:
        key = key if key in self.attributes else _ALIASES.get(key, key)
        if key not in self.attributes:
            raise self.fault(
                f"Invalid attribute key '{key[:40]}' specified. Valid keys are {self.attributes}"
            )
        return Field("attribute", key)

    def rest(self) -> str:
        """A key: one quoted token, or words joined by dots as they stand."""
        kind, value = self.take()
        if kind in ("quoted", "text"):
            return _bare(kind, value)
        if kind not in ("word", "number"):
            raise self.fault("A key is missing.")
        parts = [value]
        while self.peek() == ("op", "."):
            self.take()
            _, value = self.take()
            parts.append(value)
        return ".".join(parts)

    def clause(self) -> tuple[Field, bool]:
        field = self.field()
        if field.kind == "dataset":
            raise self.fault("Runs are not ordered by datasets.")
        ascending = True
        if self.word("DESC"):
            ascending = False
        else:
            self.word("ASC")
        if self.at != len(self.tokens):
            raise self.fault("Order is a field and ASC or DESC.")
        return field, ascending


def _bare(kind: str, value: str) -> str:
    return value[1:-1] if kind in ("quoted", "text") else value


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'") if value[0] == "'" else value[1:-1]


_OF_MODELS: Final = (
    "name",
    "model_id",
    "model_type",
    "status",
    "source_run_id",
    "creation_timestamp",
    "creation_timestamp_ms",
    "creation_time",
    "last_updated_timestamp",
)
Models = list[tuple[Told, LoggedModel]]


def models(text: str, order_by: Sequence[dict[str, Any]]) -> Callable[[Models], Models]:
    """A search for logged models: by default the newest first.

    Raises:
        MlflowError: filter or order are not of MLflow's language.
    """
    conditions = list(_Parser(text, "filter", _OF_MODELS).conditions())
    order = [
        (_Parser(str(by.get("field_name", "")), "order_by", _OF_MODELS).clause()[0], by)
        for by in order_by
    ]

    def answer(found: Models) -> Models:
        found = [
            pair for pair in found if all(c.compares(_of_model(*pair, c.field)) for c in conditions)
        ]
        found.sort(key=lambda pair: (pair[1].created, pair[1].id), reverse=True)
        for field, by in reversed(order):
            valued = [(_of_model(*pair, field), pair) for pair in found]
            have = [(values[0], pair) for values, pair in valued if values]
            have.sort(key=lambda each: each[0], reverse=by.get("ascending", True) is False)
            found = [pair for _, pair in have] + [pair for values, pair in valued if not values]
        return found

    return answer


def _of_model(told: Told, model: LoggedModel, field: Field) -> list[Any]:
    if field.kind == "metric":
        return [value for key, value, *_ in model.metrics if key == field.key][-1:]
    if field.kind in ("param", "tag"):
        texts = model.params if field.kind == "param" else model.tags
        return [texts[field.key]] if field.key in texts else []
    return [
        {
            "name": model.name,
            "model_id": model.id,
            "model_type": model.type,
            "status": model.status.removeprefix("LOGGED_MODEL_"),
            "source_run_id": told.ref.id,
        }.get(field.key, model.updated if field.key.startswith("last") else model.created)
    ]
