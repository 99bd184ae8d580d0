"""What the scheduler knows of tasks and attempts, as spans and events of the run."""

from collections.abc import Iterable, Mapping

from spanbook_runfile import names
from spanbook_runfile.names import Event, LinkType, Result, SpanType

from spanbook.nodes import TaskNode, upstream
from spanbook.recorder import Recorder
from spanbook.state import State
from spanbook.tries import Ended, Try


def declare(recorder: Recorder, node: TaskNode) -> None:
    """Say that a task will be in this run, and what it waits for."""
    ids = list(dict.fromkeys(up.id for up, _ in upstream(node)))
    recorder.event(node.id, Event.TASK_DECLARED, None, {**_facts(node), names.TASK_UPSTREAM: ids})


def attempt_started(recorder: Recorder, attempt: Try) -> None:
    """Say that an attempt runs, for whoever watches before its span is there."""
    started = attempt.started
    if started is not None:
        recorder.event(
            attempt.span_id,
            Event.ATTEMPT_STARTED,
            None,
            _attempt_facts(attempt, started.running)
            | {
                names.PROCESS_PID: started.pid,
                names.HOST_NAME: started.host,
                names.ATTEMPT_NODE: started.node,
            },
            at=started.start,
        )


def told(recorder: Recorder, attempt: Try, text: str) -> None:
    """Say something about an attempt, as a line among its own."""
    recorder.event(attempt.span_id, "", text, {names.LOGGER_NAME: "spanbook"}, severity=13)


def attempt_ended(recorder: Recorder, ended: Ended) -> None:
    """Record the span of an attempt."""
    attempt, outcome = ended.attempt, ended.outcome
    failed = outcome.result is not Result.SUCCESS
    recorder.span(
        span_id=attempt.span_id,
        parent_id=attempt.node.id,
        name=f"{attempt.node.task.name} attempt {attempt.number}",
        start=outcome.start,
        end=outcome.end,
        attrs=_attempt_facts(attempt, outcome.running)
        | {
            names.ATTEMPT_RESULT: outcome.result,
            names.PROCESS_PID: outcome.pid or None,
            names.HOST_NAME: outcome.host or None,
            names.ATTEMPT_NODE: outcome.node or None,
            names.ERROR_TYPE: outcome.error_type or None,
        },
        error=outcome.error_message or outcome.error_type if failed else None,
    )


def task_ended(
    recorder: Recorder, state: State, node: TaskNode, result: Result, error_type: str, end: int
) -> None:
    """Record the span of a task that is over since ``end`` (ns)."""
    cause = state.cause
    links = [
        (up.id, {names.LINK_TYPE: LinkType.UPSTREAM, names.LINK_ARGUMENT: argument or None})
        for up, argument in upstream(node)
    ]
    if cause is not None:
        links.append((cause.id, {names.LINK_TYPE: LinkType.CAUSE}))
    good = result in (Result.SUCCESS, Result.SKIP)
    recorder.span(
        span_id=node.id,
        parent_id=recorder.root_id,
        name=node.task.name,
        start=state.ready or end,
        end=end,
        attrs=_facts(node)
        | {
            names.TASK_RESULT: result,
            names.ERROR_TYPE: error_type or None,
            names.TASK_REUSED_FROM: state.reused_from or None,
        },
        links=links,
        error=None if good else state.message or error_type or str(result),
    )


def run_result(results: Iterable[Result], *, cancelled: bool) -> Result:
    """How a run ended whose tasks ended so."""
    found = set(results)
    if cancelled:
        return Result.CANCELLATION
    for bad in (Result.FAILURE, Result.TIMEOUT, Result.ERROR):
        if bad in found:
            return bad
    return Result.SUCCESS


def _facts(node: TaskNode) -> dict[str, object]:
    policy = node.task.policy
    return {
        names.SPAN_TYPE: SpanType.TASK,
        names.TASK_NAME: node.task.name,
        names.TASK_RUN_ID: node.id,
        names.TASK_TYPE: node.task.type,
        names.TASK_INDEX: node.index,
        names.TASK_GROUP: node.group or None,
        names.TASK_SOURCE: node.task.source,
        names.TASK_CPUS: float(policy.cpus),
        names.TASK_TIMEOUT: None if policy.timeout is None else float(policy.timeout),
        names.TASK_RETRIES: policy.retries,
    }


def _attempt_facts(attempt: Try, running: int) -> dict[str, object]:
    facts: Mapping[str, object] = {
        names.SPAN_TYPE: SpanType.ATTEMPT,
        names.TASK_NAME: attempt.node.task.name,
        names.TASK_RUN_ID: attempt.node.id,
        names.ATTEMPT_NUMBER: attempt.number,
        names.ATTEMPT_QUEUED: attempt.queued,
        names.ATTEMPT_RUNNING: running or None,
    }
    return dict(facts)
