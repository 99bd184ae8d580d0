"""A run, put together item by item out of OTLP JSON; what is not as it should be is told."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from spanbook_runfile import names
from spanbook_runfile.gather import Gathered
from spanbook_runfile.graph import acyclic, labelled
from spanbook_runfile.model import (
    Attempt,
    Child,
    Json,
    OtherSpan,
    Run,
    Task,
    UsageSample,
)
from spanbook_runfile.names import (
    ChildStatus,
    Event,
    LinkType,
    SpanType,
    TaskType,
)
from spanbook_runfile.paths import RUN_ID, SPAN_ID
from spanbook_runfile.seal_note import seal_of, sentences
from spanbook_runfile.span import DecodedSpan
from spanbook_runfile.values import (
    Object,
    attributes_of,
    dict_of,
    enum_of,
    float_of,
    int_of,
    list_of,
    text_of,
    time_of,
)

_OURS = set(SpanType)


class Decoder:
    """A run, put together item by item; :meth:`run` tells how it stands, as often as one likes."""

    def __init__(self) -> None:
        self._problems: Counter[str] = Counter()
        self._spans: dict[str, DecodedSpan] = {}
        self._logs: dict[str, Gathered] = {}
        self._declared: dict[str, dict[str, Json]] = {}
        self._started: dict[str, tuple[int, dict[str, Json]]] = {}
        self._children: dict[str, dict[str, Json]] = {}
        self._run_started: tuple[int, str] | None = None
        self._usage: dict[str, dict[int, dict[str, float]]] = {}
        self._resource: dict[str, Json] = {}
        self._trace_id = ""

    def add_span(self, resource: Mapping[str, Json], raw: Object) -> None:
        """Add one span; the first of an id counts."""
        span = DecodedSpan(raw, text_of(resource.get(names.SERVICE_NAME)))
        if not SPAN_ID.fullmatch(span.id):
            self._problems["has a span whose id is not 16 hex digits"] += 1
        elif span.id in self._spans:
            self._problems["has two spans of one id, of which the first counts"] += 1
        else:
            self._spans[span.id] = span
            self._trace_id = self._trace_id or text_of(raw.get("traceId"))
            if span.type == SpanType.RUN or not self._resource:
                self._resource = dict(resource)

    def add_record(self, resource: Mapping[str, Json], record: Object) -> None:
        """Add one log record."""
        if not self._resource:
            self._resource = dict(resource)
        span_id = text_of(record.get("spanId"))
        event = text_of(record.get("eventName"))
        time = (
            time_of(record.get("timeUnixNano")) or time_of(record.get("observedTimeUnixNano")) or 0
        )
        attrs = attributes_of(record.get("attributes"))
        self._trace_id = self._trace_id or text_of(record.get("traceId"))
        if event == Event.RUN_STARTED:
            self._run_started = (time, span_id)
        elif event == Event.TASK_DECLARED:
            self._declared[span_id] = attrs
        elif event == Event.ATTEMPT_STARTED:
            self._started[span_id] = (time, attrs)
        elif event == Event.CHILD:
            self._children.setdefault(span_id, {}).update(attrs)
        else:
            gathered = self._logs.get(span_id)
            if gathered is None:
                gathered = self._logs[span_id] = Gathered()
            gathered.add(event, time, attrs, record)

    def add_metric(self, _: Mapping[str, Json], metric: Object) -> None:
        """Add one metric's data points; of the metrics only CPU and memory of attempts are read."""
        name = metric.get("name")
        if name not in (names.CPU_UTILIZATION, names.MEMORY_USAGE):
            return
        for raw in list_of(dict_of(metric.get("gauge")).get("dataPoints")):
            point = dict_of(raw)
            attrs = attributes_of(point.get("attributes"))
            time = time_of(point.get("timeUnixNano")) or 0
            value = float_of(point.get("asDouble", point.get("asInt")))
            attempt = self._usage.setdefault(text_of(attrs.get(names.ATTEMPT_ID)), {})
            attempt.setdefault(time, {})[name] = value

    def run(self, run_id: str = "", note: Object | None = None) -> Run:
        """The run as it stands; ``note`` is a run file's ``spanbook`` member."""
        found = Counter(self._problems)
        runs = [s for s in self._spans.values() if s.type == SpanType.RUN]
        if len(runs) > 1:
            found["has more than one run span, of which the first counts"] += 1
        span = min(runs, key=lambda s: (s.start or 0, s.id), default=None)
        if not RUN_ID.fullmatch(run_id):
            run_id = self._trace_id if RUN_ID.fullmatch(self._trace_id) else "0" * 32
            found["has no run id of its own"] += 1
        tasks = self._tasks(found)
        foreign = span is None and self._run_started is None
        recorded = self._own_story(span, tasks)
        return Run(
            id=run_id,
            pipeline=self._pipeline(span),
            start=self._start(span),
            tasks=tuple(tasks),
            resource=dict(self._resource),
            seal=None if note is None else seal_of(note, found),
            other_spans=tuple(self._others()),
            foreign=foreign,
            **self._end(span, foreign),
            problems=tuple(sentences(found)),
            **recorded,
        )

    # -- one span of a run that goes on, for those who cannot wait for all of it ------------

    def logged(self, span_id: str) -> Gathered:
        """What was logged on one span so far."""
        return self._logs.setdefault(span_id, Gathered())

    def attempt(self, span_id: str) -> tuple[str, Attempt] | None:
        """An attempt, without the runs within it, and its task's id; None where it is none."""
        span = self._spans.get(span_id)
        if span is not None and span.type == SpanType.ATTEMPT:
            return span.parent, self._attempt(span_id, span, span.attrs, span.start, ())
        if span_id not in self._started:
            return None
        time, attrs = self._started[span_id]
        owner = text_of(attrs.get(names.TASK_RUN_ID))
        return owner, self._attempt(span_id, None, attrs, time, ())

    def child(self, span_id: str) -> Child | None:
        """A run within an attempt; None where it is none."""
        parent = text_of(self._children.get(span_id, {}).get(names.CHILD_PARENT))
        return self._child(span_id, parent) if parent else None

    def told(self, span_id: str) -> Mapping[str, Json]:
        """What the ``spanbook.child`` records say of a child, or of an attempt."""
        return self._children.get(span_id, {})

    def declared(self, task_id: str) -> Mapping[str, Json]:
        """What a task's declaration says."""
        return self._declared.get(task_id, {})

    def task_name(self, task_id: str) -> str:
        """A declared task's name."""
        return text_of(self.declared(task_id).get(names.TASK_NAME))

    @property
    def attempt_ids(self) -> list[str]:
        """The attempts that have begun."""
        ended = (s.id for s in self._spans.values() if s.type == SpanType.ATTEMPT)
        return list(dict.fromkeys([*self._started, *ended]))

    @property
    def child_ids(self) -> list[str]:
        """The runs within attempts."""
        return [i for i, told in self._children.items() if told.get(names.CHILD_PARENT)]

    def _pipeline(self, span: DecodedSpan | None) -> str:
        owned = span.attrs.get(names.PIPELINE_NAME) if span else None
        of = self._resource.get
        return text_of(of(names.PIPELINE_NAME) or owned or of(names.SERVICE_NAME)) or "unnamed"

    def _start(self, span: DecodedSpan | None) -> int | None:
        own = span.start if span else self._run_started[0] if self._run_started else None
        return own or min((s.start for s in self._spans.values() if s.start), default=None)

    def _end(self, span: DecodedSpan | None, foreign: bool) -> dict[str, Any]:
        if span:
            return {
                "end": span.end,
                "result": span.result(names.RESULT),
                "attributes": span.attrs,
                "error_type": text_of(span.attrs.get(names.ERROR_TYPE)),
                "error_message": span.error,
            }
        ends = [s.end for s in self._spans.values() if s.end] if foreign else []
        return {"end": max(ends, default=None), "result": None}

    def _own_story(self, span: DecodedSpan | None, tasks: list[Task]) -> dict[str, Any]:
        """What was logged on the run, and on spans that are none of the attempts'."""
        root = span.id if span else self._run_started[1] if self._run_started else ""
        own = self._logs.get(root)
        attempts = {attempt.id for task in tasks for attempt in task.attempts}
        attempts |= self._children.keys()
        strays = [g for i, g in self._logs.items() if i != root and i not in attempts]
        if not strays:
            return own.recorded() if own else {}
        story = Gathered()
        for gathered in ([own] if own else []) + strays:
            story.merge_story(gathered)
        told = story.recorded()
        mine = own.recorded() if own else {}
        return {**mine, "logs": told["logs"], "exceptions": told["exceptions"]}

    def _others(self) -> Iterator[OtherSpan]:
        for s in self._spans.values():
            if s.type not in _OURS:
                yield OtherSpan(
                    s.id, s.parent, s.name, s.start or 0, s.end or 0, s.service, s.error, s.attrs
                )

    def _tasks(self, found: Counter[str]) -> list[Task]:
        spans: dict[str, DecodedSpan | None] = dict.fromkeys(self._declared)
        spans.update({s.id: s for s in self._spans.values() if s.type == SpanType.TASK})
        attempts = self._attempts()
        tasks = []
        for task_id, span in spans.items():
            tries = tuple(sorted(attempts.pop(task_id, ()), key=lambda a: (a.number, a.start or 0)))
            tasks.append(self._task(task_id, span, tries))
            if (
                span
                and names.TASK_RESULT in span.attrs
                and span.result(names.TASK_RESULT) != (span.attrs[names.TASK_RESULT])
            ):
                found["has a task whose result is none that is known; it is shown as an error"] += 1
        for owner in attempts:
            found["has attempts of a task that it does not hold"] += 1 if owner else 0
        tasks.sort(key=lambda t: (t.index, t.start or 0, t.id))
        return labelled(self._linked(tasks, found))

    @staticmethod
    def _linked(tasks: list[Task], found: Counter[str]) -> list[Task]:
        """The tasks, with upstream tasks that are there and no cycle among them."""
        known = {task.id for task in tasks}
        edges, broken = acyclic({task.id: task.upstream for task in tasks})
        if broken:
            found["has a cycle in the tasks' links, which was cut"] += broken
        lost = sum(1 for task in tasks for target in task.upstream if target not in known)
        if lost:
            found["has a link to a task that it does not hold"] += lost
        return [
            replace(
                task,
                upstream=edges[task.id],
                cause=task.cause if task.cause in known and task.cause != task.id else None,
            )
            for task in tasks
        ]

    def _task(self, task_id: str, span: DecodedSpan | None, attempts: tuple[Attempt, ...]) -> Task:
        attrs = dict(self._declared.get(task_id, {}))
        upstream = [text_of(u) for u in list_of(attrs.pop(names.TASK_UPSTREAM, None))]
        cause = None
        if span:
            attrs.update(span.attrs)
            upstream = []
            for target, link in span.links:
                if link.get(names.LINK_TYPE) == LinkType.CAUSE:
                    cause = target
                else:
                    upstream.append(target)
        return Task(
            id=task_id,
            name=text_of(attrs.get(names.TASK_NAME)) or (span.name if span else "") or "unnamed",
            index=int_of(attrs.get(names.TASK_INDEX)),
            type=enum_of(TaskType, attrs.get(names.TASK_TYPE), TaskType.PYTHON),
            result=span.result(names.TASK_RESULT) if span else None,
            start=span.start if span else None,
            end=span.end if span else None,
            upstream=tuple(upstream),
            cause=cause,
            attempts=attempts,
            group=text_of(attrs.get(names.TASK_GROUP)),
            source=text_of(attrs.get(names.TASK_SOURCE)),
            error_type=text_of(attrs.get(names.ERROR_TYPE)) if span else "",
            error_message=span.error if span else "",
            attributes=attrs,
        )

    def _attempts(self) -> dict[str, list[Attempt]]:
        """The attempts, those that ended and those that only started, by task."""
        attempts: dict[str, list[Attempt]] = defaultdict(list)
        children = self._attempts_children()
        ended = set()
        for span in self._spans.values():
            if span.type == SpanType.ATTEMPT:
                ended.add(span.id)
                told = self._attempt(
                    span.id, span, span.attrs, span.start, children.get(span.id, ())
                )
                attempts[span.parent].append(told)
        for span_id, (time, attrs) in self._started.items():
            if span_id not in ended:
                owner = text_of(attrs.get(names.TASK_RUN_ID))
                told = self._attempt(span_id, None, attrs, time, children.get(span_id, ()))
                attempts[owner].append(told)
        return attempts

    def _attempt(
        self,
        span_id: str,
        span: DecodedSpan | None,
        attrs: Mapping[str, Json],
        start: int | None,
        children: Iterable[Child],
    ) -> Attempt:
        gathered = self._logs.get(span_id)
        pid = attrs.get(names.PROCESS_PID)
        return Attempt(
            id=span_id,
            number=int_of(attrs.get(names.ATTEMPT_NUMBER), 1),
            result=span.result(names.ATTEMPT_RESULT) if span else None,
            queued=time_of(attrs.get(names.ATTEMPT_QUEUED)),
            start=start,
            running=time_of(attrs.get(names.ATTEMPT_RUNNING)),
            end=span.end if span else None,
            error_type=text_of(attrs.get(names.ERROR_TYPE)),
            error_message=span.error if span else "",
            host=text_of(attrs.get(names.HOST_NAME)),
            pid=None if pid is None else int_of(pid),
            node=text_of(attrs.get(names.ATTEMPT_NODE)),
            usage=tuple(self._samples(span_id)),
            children=tuple(children),
            experiment=text_of(self.told(span_id).get(names.CHILD_EXPERIMENT)),
            deleted=self.told(span_id).get(names.CHILD_LIFECYCLE) == "deleted",
            **(gathered.recorded() if gathered else {}),
        )

    def _attempts_children(self) -> dict[str, list[Child]]:
        """The runs within attempts, by attempt; those of children are the attempt's, too."""
        parents = {
            span_id: text_of(told.get(names.CHILD_PARENT))
            for span_id, told in self._children.items()
            if told.get(names.CHILD_PARENT)
        }
        found: dict[str, list[Child]] = defaultdict(list)
        for span_id, parent in parents.items():
            owner, seen = span_id, set()
            while owner in parents and owner not in seen:
                seen.add(owner)
                owner = parents[owner]
            found[owner].append(self._child(span_id, parent))
        for children in found.values():
            children.sort(key=lambda child: (child.start or 0, child.id))
        return found

    def _child(self, span_id: str, parent: str) -> Child:
        told = self._children[span_id]
        gathered = self._logs.get(span_id)
        status = enum_of(ChildStatus, told.get(names.CHILD_STATUS), ChildStatus.RUNNING)
        return Child(
            id=span_id,
            parent=parent,
            name=text_of(told.get(names.CHILD_NAME)) or "unnamed",
            status=status,
            start=time_of(told.get(names.CHILD_START)),
            end=time_of(told.get(names.CHILD_END)),
            experiment=text_of(told.get(names.CHILD_EXPERIMENT)),
            user=text_of(told.get(names.CHILD_USER)),
            deleted=told.get(names.CHILD_LIFECYCLE) == "deleted",
            **(gathered.recorded() if gathered else {}),
        )

    def _samples(self, span_id: str) -> Iterator[UsageSample]:
        for time, found in sorted(self._usage.get(span_id, {}).items()):
            memory = found.get(names.MEMORY_USAGE, math.nan)
            yield UsageSample(
                time,
                found.get(names.CPU_UTILIZATION),
                int(memory) if math.isfinite(memory) else None,
            )
