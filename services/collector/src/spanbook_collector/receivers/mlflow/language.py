"""MLflow's filter language: fields, conditions on them, and clauses of order."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spanbook_collector.receivers.mlflow.errors import MlflowError

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")
    | (?P<quoted>`[^`]*`)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
    | (?P<op><=|>=|!=|=|<|>|\(|\)|,|\.)
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
_ALIASES: Final = {
    "Run Name": "run_name",
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
    "timestamp",
    "timestamp_ms",
    "execution_time",
    "execution_time_ms",
    "end_time_ms",
    "start_time",
    "end_time",
    "creation_time",
    "last_update_time",
    "creation_timestamp",
    "creation_timestamp_ms",
    "last_updated_timestamp",
}
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


@dataclass(frozen=True, slots=True)
class Language:
    """What one kind of search knows: entities, other names of attributes, attributes that IN takes."""

    kinds: Mapping[str, str]
    aliases: Mapping[str, str]
    among: Collection[str]


RUNS: Final = Language(_KINDS, _ALIASES, {"run_id"})
TRACES: Final = Language(
    kinds={
        **dict.fromkeys(("tag", "tags"), "tag"),
        **dict.fromkeys(("attribute", "attributes", "trace"), "attribute"),
        **dict.fromkeys(("metadata", "request_metadata"), "metadata"),
    },
    aliases={"state": "status", "trace_id": "request_id"},
    among={"name", "status", "request_id", "run_id", "client_request_id"},
)


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared or sorted by, such as ``metrics.loss`` or ``attributes.status``."""

    kind: str
    key: str

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind == "metric" or (self.kind == "attribute" and self.key in _NUMERIC)


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison."""

    field: Field
    op: str
    value: Any

    def compares(self, values: Sequence[Any]) -> bool:
        """Whether one of its field's values has it; where there are none, IS NULL does."""
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
        return _COMPARE[self.op](value, self.value)


def _like(pattern: str, text: str, *, folded: bool) -> bool:
    """SQL's LIKE: % is any text, _ any character.

    Not by a regular expression: a pattern of many % would have one try for hours.
    """
    if folded:
        pattern, text = pattern.lower(), text.lower()
    at = begin = 0  # in the pattern, and in the text
    star, resume = -1, 0  # the last %, and where in the text what follows it is tried next
    while begin < len(text):
        if at < len(pattern) and pattern[at] == "%":
            star, resume = at, begin
            at += 1
        elif at < len(pattern) and pattern[at] in ("_", text[begin]):
            at, begin = at + 1, begin + 1
        elif star >= 0:
            resume += 1
            at, begin = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("%")


class Parser:
    """Reads one text, token by token."""

    def __init__(
        self, text: str, what: str, attributes: Iterable[str], language: Language = RUNS
    ) -> None:
        self.language = language
        self.text, self.what, self.attributes = text, what, sorted(attributes)
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._fault()
            at = found.end()
            self.tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
        self.at = 0

    def _fault(self, why: str = "") -> MlflowError:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        return MlflowError(f"Invalid {self.what} clause '{shown}'. {why}".strip())

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("", "")

    def _take(self) -> tuple[str, str]:
        kind, value = self._peek()
        self.at += 1
        return kind, value

    def _word(self, *words: str) -> bool:
        """Take these words, where they come next."""
        for ahead, word in enumerate(words):
            kind, value = self._peek(ahead)
            if kind != "word" or value.upper() != word:
                return False
        self.at += len(words)
        return True

    def conditions(self) -> Iterable[Condition]:
        """Read conditions, joined by AND.

        Raises:
            MlflowError: the text is not of MLflow's language.
        """
        if not self.tokens:
            return
        while True:
            yield self._condition()
            if self.at == len(self.tokens):
                return
            if not self._word("AND"):
                raise self._fault("Conditions are joined by AND; OR and brackets are not known.")

    def _condition(self) -> Condition:
        field = self._field()
        if self._word("IS", "NOT", "NULL"):
            return self._null(field, "IS NOT NULL")
        if self._word("IS", "NULL"):
            return self._null(field, "IS NULL")
        if self._word("NOT", "IN"):
            return self._among(field, "NOT IN")
        if self._word("IN"):
            return self._among(field, "IN")
        for op in ("LIKE", "ILIKE"):
            if self._word(op):
                return Condition(field, op, self._value(field, op))
        kind, op = self._take()
        if kind != "op" or op not in _COMPARE:
            raise self._fault(f"{op[:40]!r} is no comparison.")
        if not field.is_number and op not in ("=", "!="):
            raise self._fault(f"{field.kind}s are compared by =, !=, LIKE and ILIKE.")
        return Condition(field, op, self._value(field, op))

    def _null(self, field: Field, op: str) -> Condition:
        if field.kind not in ("param", "tag", "metadata"):
            raise self._fault(f"{op} is for tags and parameters.")
        return Condition(field, op, None)

    def _among(self, field: Field, op: str) -> Condition:
        attribute = field.kind == "attribute" and field.key in self.language.among
        if not attribute and field.kind != "dataset":
            names = " and ".join(repr(name) for name in sorted(self.language.among))
            raise self._fault(f"{op} is for the attribute {names} and for datasets.")
        if self._take() != ("op", "("):
            raise self._fault(f"{op} takes a list in brackets.")
        values = []
        while True:
            kind, value = self._take()
            if kind != "text":
                raise self._fault("A list holds quoted strings.")
            values.append(_unquoted(value))
            kind, value = self._take()
            if (kind, value) == ("op", ")"):
                return Condition(field, op, tuple(values))
            if (kind, value) != ("op", ","):
                raise self._fault("A list's values are parted by commas.")
            if self._peek() == ("op", ")"):
                self._take()
                return Condition(field, op, tuple(values))

    def _value(self, field: Field, op: str) -> Any:
        kind, value = self._take()
        if field.is_number:
            if kind != "number" or op in ("LIKE", "ILIKE"):
                raise self._fault(
                    f"Expected numeric value type for {field.kind}. Found {value[:40]}."
                )
            return float(value)
        if kind != "text":
            raise self._fault(
                f"Expected a quoted string value for {field.kind} (e.g. 'my-value'). "
                f"Got value {value[:40]}."
            )
        return _unquoted(value)

    def _field(self) -> Field:
        kind, first = self._take()
        if kind not in ("word", "quoted", "text"):
            raise self._fault("It must begin with a field, such as metrics.loss.")
        if self._peek() != ("op", "."):
            return self._attribute(_bare(kind, first))
        entity = self.language.kinds.get(first)
        if entity is None:
            raise self._fault(
                f"Invalid entity type '{first[:40]}'. Valid values are "
                f"{list(dict.fromkeys(self.language.kinds.values()))}"
            )
        self._take()
        key = self._rest()
        if entity == "attribute":
            return self._attribute(key)
        if entity == "dataset" and key not in ("name", "digest", "context"):
            raise self._fault(f"Invalid dataset attribute '{key[:40]}'.")
        return Field(entity, key)

    def _attribute(self, key: str) -> Field:
        key = key if key in self.attributes else self.language.aliases.get(key, key)
        if key not in self.attributes:
            raise self._fault(
                f"Invalid attribute key '{key[:40]}' specified. Valid keys are {self.attributes}"
            )
        return Field("attribute", key)

    def _rest(self) -> str:
        """A key: one quoted token, or words joined by dots as they stand."""
        kind, value = self._take()
        if kind in ("quoted", "text"):
            return _bare(kind, value)
        if kind not in ("word", "number"):
            raise self._fault("A key is missing.")
        parts = [value]
        while self._peek() == ("op", "."):
            self._take()
            _, value = self._take()
            parts.append(value)
        return ".".join(parts)

    def clause(self) -> tuple[Field, bool]:
        """Read a field, and whether it ascends.

        Raises:
            MlflowError: the text is not of MLflow's language.
        """
        field = self._field()
        if field.kind == "dataset":
            raise self._fault("Runs are not ordered by datasets.")
        ascending = True
        if self._word("DESC"):
            ascending = False
        else:
            self._word("ASC")
        if self.at != len(self.tokens):
            raise self._fault("Order is a field and ASC or DESC.")
        return field, ascending


def _bare(kind: str, value: str) -> str:
    return value[1:-1] if kind in ("quoted", "text") else value


def _unquoted(value: str) -> str:
    return value[1:-1]  # a quote within stays as it stands, as by MLflow's server
