"""All that was logged on one span, gathered record by record."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from spanbook_runfile import names
from spanbook_runfile.model import (
    Artifact,
    Dataset,
    ExceptionInfo,
    Json,
    LoggedModel,
    LogLine,
    Metric,
    ModelPoint,
    ModelUse,
)
from spanbook_runfile.names import ArtifactKind, Event
from spanbook_runfile.values import (
    Object,
    dict_of,
    enum_of,
    float_of,
    int_of,
    list_of,
    text_of,
    time_of,
    value_of,
)

Attributes = dict[str, Json]
_DATASET_TEXTS = ("name", "digest", "source_type", "source", "schema", "profile")


class Gathered:
    """What was logged on one span so far, duplicates left out already."""

    def __init__(self) -> None:
        self._parameters: dict[str, Json] = {}
        self._tags: dict[str, str] = {}
        self._values: dict[str, Json] = {}
        self._points: dict[str, list[tuple[int, float, int | None]]] = defaultdict(list)
        self._chunks: dict[tuple[str, int], tuple[Object, dict[int, str]]] = {}
        self._lines: list[LogLine] = []
        self._exceptions: list[ExceptionInfo] = []
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._models: dict[str, Object] = {}
        self._model_points: dict[str, list[ModelPoint]] = defaultdict(list)
        self._traces: dict[str, dict[str, Json]] = {}
        self._dropped = 0
        self._recorded: dict[str, Any] | None = None

    def add(self, event: str, time: int, attrs: Attributes, record: Object) -> None:
        """Add one log record of an event that belongs to a span's own story."""
        self._recorded = None
        known = _KNOWN.get(event)
        if known:
            known(self, time, attrs, record)
        elif event == Event.EXCEPTION or names.EXCEPTION_TYPE in attrs:
            self._exception(time, attrs)
        elif record.get("body") is not None:
            self._line(time, attrs, record)

    def _parameter(self, _: int, attrs: Attributes, record: Object) -> None:
        self._parameters[_key(attrs)] = value_of(record.get("body"))

    def _tag(self, _: int, attrs: Attributes, record: Object) -> None:
        value = value_of(record.get("body"))
        if value is None:
            self._tags.pop(_key(attrs), None)
        else:
            self._tags[_key(attrs)] = text_of(value)

    def _value(self, _: int, attrs: Attributes, record: Object) -> None:
        self._values[_key(attrs)] = value_of(record.get("body"))

    def _metric(self, time: int, attrs: Attributes, _: Object) -> None:
        step = attrs.get(names.METRIC_STEP)
        value = float_of(attrs.get(names.METRIC_VALUE))
        self._points[_key(attrs)].append((time, value, None if step is None else int_of(step)))
        if model := text_of(attrs.get(names.METRIC_MODEL)):
            dataset = text_of(attrs.get(names.METRIC_DATASET))
            digest = text_of(attrs.get(names.METRIC_DATASET_DIGEST))
            point = (_key(attrs), value, int_of(step), time, dataset, digest)
            self._model_points[model].append(point)

    def _metric_batch(self, time: int, attrs: Attributes, _: Object) -> None:
        values = list_of(attrs.get(names.METRIC_VALUES))
        steps = list_of(attrs.get(names.METRIC_STEPS))
        times = list_of(attrs.get(names.METRIC_TIMES))
        points = self._points[_key(attrs)] if values else []
        for index, value in enumerate(values):
            step = steps[index] if index < len(steps) else None
            at = (time_of(times[index]) if index < len(times) else None) or time
            points.append((at, float_of(value), None if step is None else int_of(step)))

    def _artifact(self, time: int, attrs: Attributes, record: Object) -> None:
        slot = (
            text_of(attrs.get(names.ARTIFACT_PATH)),
            int_of(attrs.get(names.ARTIFACT_VERSION), 1),
        )
        _, chunks = self._chunks.setdefault(slot, ({**attrs, "time": time}, {}))
        content = dict_of(record.get("body")).get("bytesValue")
        chunks.setdefault(int_of(attrs.get(names.CHUNK_INDEX)), text_of(content))

    def _dataset(self, _: int, __: Attributes, record: Object) -> None:
        told = dict_of(value_of(record.get("body")))
        texts = {key: text_of(told.get(key)) for key in _DATASET_TEXTS}
        dataset = Dataset(**texts, tags=_texts(told.get("tags")))
        self._datasets[dataset.name, dataset.digest] = dataset

    def _model(self, _: int, attrs: Attributes, record: Object) -> None:
        told = dict_of(value_of(record.get("body")))
        known = self._models.setdefault(_key(attrs), {})
        for key in ("params", "tags"):
            if key in told:
                both = {**dict_of(known.get(key)), **dict_of(told[key])}
                told[key] = {k: v for k, v in both.items() if v is not None}
        known.update(told)

    def _trace(self, _: int, attrs: Attributes, record: Object) -> None:
        told = dict_of(value_of(record.get("body")))
        self._traces.setdefault(_key(attrs), {}).update(told)

    def _truncated(self, _: int, attrs: Attributes, __: Object) -> None:
        self._dropped += max(0, int_of(attrs.get(names.DROPPED_BYTES)))

    def _exception(self, time: int, attrs: Attributes) -> None:
        keys = (names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE)
        self._exceptions.append(ExceptionInfo(time, *(text_of(attrs.get(key)) for key in keys)))

    def _line(self, time: int, attrs: Attributes, record: Object) -> None:
        text = value_of(record.get("body"))
        self._lines.append(
            LogLine(
                time,
                text_of(attrs.get(names.IOSTREAM)) or "log",
                text if isinstance(text, str) else orjson.dumps(text).decode(),
                text_of(record.get("severityText")),
                text_of(attrs.get(names.LOGGER_NAME)),
            )
        )

    def merge_story(self, other: "Gathered") -> None:
        """Take over another span's lines and exceptions."""
        self._lines += other._lines
        self._exceptions += other._exceptions
        self._recorded = None

    def recorded(self) -> dict[str, Any]:
        """The keyword arguments of :class:`~spanbook_runfile.model.Recorded`, in order of time."""
        if self._recorded is None:
            self._lines.sort(key=lambda line: line.time)
            self._exceptions.sort(key=lambda exception: exception.time)
            self._recorded = {
                "parameters": dict(self._parameters),
                "tags": dict(self._tags),
                "values": dict(self._values),
                "metrics": {key: _series(key, points) for key, points in self._points.items()},
                "artifacts": tuple(self._artifacts()),
                "logs": tuple(self._lines),
                "exceptions": tuple(self._exceptions),
                "datasets": tuple(self._datasets.values()),
                "models": tuple(self._logged_models()),
                "model_uses": tuple(self._model_uses()),
                "traces": {key: dict(told) for key, told in self._traces.items()},
                "dropped_output_bytes": self._dropped,
            }
        return self._recorded

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The parameters as they stand."""
        return self._parameters

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags as they stand."""
        return self._tags

    def _logged_models(self) -> Iterator[LoggedModel]:
        for model, told in self._models.items():
            if "name" not in told:
                continue  # another run's
            yield LoggedModel(
                id=model,
                name=text_of(told.get("name")),
                folder=text_of(told.get("folder")),
                type=text_of(told.get("type")),
                status=text_of(told.get("status")),
                created=int_of(told.get("created")),
                updated=int_of(told.get("updated")),
                step=int_of(told.get("step")),
                params=_texts(told.get("params")),
                tags=_texts(told.get("tags")),
                metrics=tuple(self._model_points.get(model, ())),
                deleted=told.get("deleted") is True,
            )

    def _model_uses(self) -> Iterator[ModelUse]:
        for model in dict.fromkeys([*self._models, *self._model_points]):
            told = self._models.get(model, {})
            output = told.get("output")
            use = ModelUse(
                id=model,
                input=told.get("input") is True,
                step=None if output is None else int_of(output),
                metrics=() if "name" in told else tuple(self._model_points.get(model, ())),
            )
            if use != ModelUse(model):
                yield use

    def _artifacts(self) -> Iterator[Artifact]:
        last: dict[str, Artifact] = {}
        for (path, version), (head, chunks) in sorted(self._chunks.items(), key=lambda c: c[0]):
            count = int_of(head.get(names.CHUNK_COUNT), 1)
            complete = len(chunks) == count and min(chunks) == 0 and max(chunks) == count - 1
            earlier = last.get(path)
            if earlier and earlier.complete and not complete:
                continue
            last[path] = Artifact(
                path=path,
                media_type=text_of(head.get(names.ARTIFACT_MEDIA_TYPE))
                or "application/octet-stream",
                size=max(0, int_of(head.get(names.ARTIFACT_SIZE))),
                sha256=text_of(head.get(names.ARTIFACT_SHA256)),
                kind=enum_of(ArtifactKind, head.get(names.ARTIFACT_KIND), ArtifactKind.FILE),
                meta=dict_of(head.get(names.ARTIFACT_META)),
                version=version,
                time=int_of(head.get("time")),
                chunks=tuple(chunk for _, chunk in sorted(chunks.items())),
                complete=complete,
            )
        yield from last.values()


def _key(attrs: Attributes) -> str:
    return text_of(attrs.get(names.KEY))


def _texts(value: object) -> dict[str, str]:
    return {key: text_of(text) for key, text in dict_of(value).items()}


def _series(key: str, points: list[tuple[int, float, int | None]]) -> Metric:
    points.sort(key=lambda point: point[0])
    times, values, steps = zip(*points, strict=True)
    return Metric(key, values, steps, times)


_KNOWN: dict[str, Callable[[Gathered, int, Attributes, Object], None]] = {
    Event.PARAMETER: Gathered._parameter,
    Event.TAG: Gathered._tag,
    Event.VALUE: Gathered._value,
    Event.METRIC: Gathered._metric,
    Event.METRIC_BATCH: Gathered._metric_batch,
    Event.ARTIFACT: Gathered._artifact,
    Event.OUTPUT_TRUNCATED: Gathered._truncated,
    Event.DATASET: Gathered._dataset,
    Event.MODEL: Gathered._model,
    Event.TRACE: Gathered._trace,
}
