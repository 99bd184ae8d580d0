"""MLflow's search: what a query finds among runs, experiments and logged models, in its order, by pages."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spanbook_runfile.model import LoggedModel

from spanbook_collector.receivers.mlflow.errors import MlflowError
from spanbook_collector.receivers.mlflow.language import Condition, Field, Parser
from spanbook_collector.receivers.mlflow.records import MS
from spanbook_collector.receivers.mlflow.shelf import Known
from spanbook_collector.receivers.mlflow.views import Told, artifact_uri

_ATTRIBUTES: Final[dict[str, Callable[[Told], Any]]] = {
    "run_id": lambda told: told.ref.id,
    "run_name": lambda told: told.name,
    "status": lambda told: told.status,
    "user_id": lambda told: told.user,
    "artifact_uri": artifact_uri,
    "start_time": lambda told: told.start // MS,
    "end_time": lambda told: told.end // MS if told.end else None,
}
_OF_EXPERIMENTS: Final = ("experiment_id", "name", "creation_time", "last_update_time")


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


def _of_run(told: Told, field: Field) -> list[Any]:
    """A field's values in one run: none, one, or one a dataset."""
    if field.kind == "dataset":
        return [
            value
            for dataset in told.logged.datasets
            for value in (
                [dataset.tags.get("mlflow.data.context")]
                if field.key == "context"
                else [getattr(dataset, field.key)]
            )
            if value is not None
        ]
    if field.kind == "attribute":
        value = _ATTRIBUTES[field.key](told)
    elif field.kind == "metric":
        point = told.metrics.get(field.key)
        value = point[0] if point else None
    else:
        value = (told.params if field.kind == "param" else told.tags).get(field.key)
    return [] if value is None else [value]


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
            tuple(Parser(text, "filter", _ATTRIBUTES).conditions()),
            tuple(Parser(clause, "order_by", _ATTRIBUTES).clause() for clause in order_by),
        )

    def answer(self, runs: Iterable[Told]) -> list[Told]:
        """The runs that it finds, in its order: by default the newest first."""
        found = [
            told
            for told in runs
            if all(c.compares(_of_run(told, c.field)) for c in self.conditions)
        ]
        found.sort(key=lambda told: told.ref.id)
        found.sort(key=lambda told: told.start, reverse=True)
        for field, ascending in reversed(self.order):
            found = _sorted(found, field, ascending=ascending)
        return found


def _sorted(runs: list[Told], field: Field, *, ascending: bool) -> list[Told]:
    """Sorted by one field; NaN behind the numbers, and runs without it last."""
    valued = [(values[0], told) for told in runs if (values := _of_run(told, field))]
    numbers = [v for v in valued if not (isinstance(v[0], float) and math.isnan(v[0]))]
    odd = [told for value, told in valued if isinstance(value, float) and math.isnan(value)]
    numbers.sort(key=lambda pair: pair[0], reverse=not ascending)
    without = [told for told in runs if not _of_run(told, field)]
    return [told for _, told in numbers] + odd + without


def experiments(found: list[Known], text: str, order_by: Sequence[str]) -> list[Known]:
    """The experiments that a filter finds, in order: by default those made last first.

    Raises:
        MlflowError: filter or order are not of MLflow's language.
    """
    conditions = list(Parser(text, "filter", _OF_EXPERIMENTS).conditions())
    order = [Parser(clause, "order_by", _OF_EXPERIMENTS).clause() for clause in order_by]
    found = [k for k in found if all(c.compares(_of_experiment(k, c.field)) for c in conditions)]
    found.sort(key=lambda known: (-known.created, int(known.id)))
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
    conditions = list(Parser(text, "filter", _OF_MODELS).conditions())
    order = [
        (Parser(str(by.get("field_name", "")), "order_by", _OF_MODELS).clause()[0], by)
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
