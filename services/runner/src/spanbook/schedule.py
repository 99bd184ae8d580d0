"""The schedule: which task runs when, from the DAG and from how the others ended."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from spanbook_runfile.names import Result

from spanbook import report, values
from spanbook.dag import Graph
from spanbook.dispatch import Dispatcher
from spanbook.emitter import Batch
from spanbook.fanout import FanOut, Rows, told
from spanbook.faults import lost_ref
from spanbook.nodes import (
    EitherNode,
    Handle,
    ItemNode,
    MapNode,
    Node,
    TaskNode,
    handles_in,
)
from spanbook.recorder import Recorder
from spanbook.recovery import Recovery
from spanbook.rerun import Part, Reuse
from spanbook.state import PAUSED, QUEUED, Listener, State, is_over, pause, task_of, unfinished
from spanbook.tries import Ended, Try
from spanbook.wiring import Wiring


class Schedule:
    """Runs a graph to its end.

    A task is submitted when all that it waits for succeeded. When a task fails, whatever needs it
    is skipped, and the rest goes on.
    """

    def __init__(
        self,
        graph: Graph,
        recorder: Recorder,
        listener: Listener,
        make_dispatcher: Callable[..., Dispatcher],
        part: Part | None = None,
    ) -> None:
        self.graph = graph
        self._part = part
        self.states: dict[Node, State] = {}
        self.cancelled = ""
        self._recorder = recorder
        self._listener = listener
        self._truths: dict[tuple[Node, int, tuple[object, ...]], bool] = {}
        self._open = 0
        self._ended: deque[State] = deque()  # whose consumers have not heard of it yet
        self._telling = False
        self.dispatcher = make_dispatcher(
            on_start=self._attempt_started, on_end=self._attempt_ended
        )
        self._afterwards = self.dispatcher.afterwards
        self._wiring = Wiring(self.states)
        self._recovery = Recovery(self.states, self._wiring)
        self._fan_out = FanOut(graph, self._wiring, self.dispatcher)

    def run(self) -> Result:
        """Run everything; returns the result of the run."""
        nodes = list(self.graph.nodes)
        for node in nodes:
            self._enter(node)
        for node in nodes:
            if isinstance(node, TaskNode):
                report.declare(self._recorder, node)
        self._recorder.flush()
        self._begin([self.states[node] for node in nodes])
        while self._open:
            self.dispatcher.loop.step()
        self.dispatcher.loop.catch_up()
        results = (s.result for s in self.states.values() if s.result)
        return report.run_result(results, cancelled=bool(self.cancelled))

    def cancel(self, reason: str) -> None:
        """Stop all that runs, and start nothing more; from any thread or signal handler."""
        self.dispatcher.loop.wake(lambda: self._cancel(reason))

    def _cancel(self, reason: str) -> None:
        if self.cancelled:
            return
        self.cancelled = reason
        self.dispatcher.stop_all(reason)
        for state in list(self.states.values()):
            if state.result is None and state.running in (None, PAUSED):
                self._finish(state, unfinished(state), message=reason)

    # -- nodes come and become ready -----------------------------------------------------------

    def _enter(self, node: Node) -> State:
        state = State(node)
        self.states[node] = state
        self._open += 1
        for other in dict.fromkeys(node.waits_for()):
            if isinstance(other, ItemNode):
                continue
            self._connect(state, self.states[other])
        return state

    def _connect(self, state: State, up: State) -> None:
        """Make a node wait for another one, and need its value."""
        up.consumers.append(state)
        state.hold(up)
        if not (up.told and is_over(up, state.node)):
            state.waits += 1

    def _begin(self, states: list[State]) -> None:
        """Let nodes of the run go on; where only a part runs, first say which are had without."""
        held, self._telling = self._telling, True
        for state in states:
            self._leave_out(state)
        self._telling = held
        for state in states:
            self._check(state)
        self._tell_all()

    def _leave_out(self, state: State) -> None:
        """Have a node without running it, where only a part runs and it is not of it."""
        node = state.node
        if self._part is not None and state.result is None:
            reuse = self._part.decide(node) if isinstance(node, TaskNode) else None
            if isinstance(node, TaskNode) and reuse is not None:
                state.refs = self._restored(node, reuse)
                state.reused_from = reuse.run_id
                self._finish(state, Result.SUCCESS)
                return
            if node in self._part.left_out:
                self._finish(state, Result.SKIP, message="not part of this run")

    def _restored(self, node: TaskNode, reuse: Reuse) -> Sequence[Any]:
        """A task's values from an earlier run, as ObjectRefs."""
        if reuse.value is None:
            return ()
        restore = self.dispatcher.helper(values.restore, node.task.n_outputs)
        refs = restore.remote(reuse.value)
        return refs if isinstance(refs, list) else [refs]

    def _check(self, state: State) -> None:
        """Go on with a node for which nothing is left to wait."""
        if state.result is not None or state.running is not None:
            return
        if not isinstance(state.node, EitherNode):
            for up in state.holds:
                if up.result not in (None, Result.SUCCESS):
                    self._skip(state, up)
                    return
        if state.waits:
            return
        state.ready = state.ready or time.time_ns()
        if self._conditions_hold(state):
            self._start(state)

    def _conditions_hold(self, state: State) -> bool:
        """Whether the node's branch is taken; where that is not known yet, it is asked for."""
        if state.pending:
            return False
        for condition in state.node.conditions:
            found = self._truth(state, condition.handle)
            if found is None:
                return False
            if found is not condition.expected:
                cause = task_of(condition.handle.node)
                self._finish(state, Result.SKIP, cause=cause, message="branch not taken")
                return False
        return True

    def _truth(self, state: State, handle: Handle) -> bool | None:
        """Whether a value is true; None where a worker has to be asked first."""
        settled = self._wiring.settled(handle)
        if not isinstance(settled, Handle):
            return bool(settled)
        key = (settled.node, settled.output, settled.path)
        if key in self._truths:
            return self._truths[key]
        state.pending += 1

        def answer(value: Any) -> None:
            state.pending -= 1
            if state.result is not None:
                return
            if self._recover(state, [settled], lost_ref(value)):
                return
            if isinstance(value, BaseException):
                self._fail(state, f"The condition on {settled.node.title!r}: {told(value)}")
                return
            self._truths[key] = value
            self._check(state)

        ask = self.dispatcher.helper(values.truth)
        self.dispatcher.ask(ask.remote(self._wiring.ref(settled), settled.path), answer)
        return None

    def _start(self, state: State) -> None:
        node = state.node
        if isinstance(node, TaskNode):
            arguments, inputs = self._wiring.inputs(node)
            state.attempts += 1
            state.running = QUEUED
            attempt = self.dispatcher.submit(node, state.attempts, arguments, inputs)
            if state.why:
                self._note(attempt, state.why)
                state.why = ""
        elif isinstance(node, MapNode):
            state.running = PAUSED
            self._expand(state, node)
        elif isinstance(node, EitherNode):
            for handle in node.choices:
                if self.states[handle.node].result is Result.SUCCESS:
                    state.choice = handle
                    for consumer in state.consumers:
                        consumer.hold(self.states[handle.node])
                    self._finish(state, Result.SUCCESS)
                    return
            self._skip(state, self.states[node.choices[0].node])

    # -- fan-out at run time -----------------------------------------------------------------------

    def _expand(self, state: State, node: MapNode) -> None:
        def ready(rows: Rows) -> None:
            if state.result is not None:
                return
            try:
                added = self._fan_out.build(node, rows)
            except Exception as error:  # noqa: BLE001 (the user's nested pipeline may raise anything)
                self._fail(state, f"{node.title}.map: {error}")
                return
            self._join(state, node, added)
            state.running = None
            self._finish(state, Result.SUCCESS)
            for consumer in state.consumers:
                if isinstance(consumer.node, TaskNode) and consumer.result is None:
                    report.declare(self._recorder, consumer.node)

        def failed(reason: str, lost: str) -> None:
            if state.result is not None:
                return
            state.running = None
            if not self._recover(state, node.sources.values(), lost):
                self._fail(state, reason)

        self._fan_out.rows(node, ready, failed)

    def _join(self, state: State, node: MapNode, added: list[Node]) -> None:
        """Nodes that a fan-out brought become part of the run."""
        entered = [self._enter(new) for new in added]
        for new in added:
            if isinstance(new, TaskNode):
                report.declare(self._recorder, new)
        nodes = dict.fromkeys(h.node for h in handles_in(node.results))
        for consumer in state.consumers:
            for needed in nodes:
                if needed in self.states:
                    self._connect(consumer, self.states[needed])
        self._begin(entered)

    def _show_unexpanded(self, state: State, node: MapNode, message: str, error_type: str) -> None:
        """Record a fan-out that never came to be."""
        result = state.result
        assert result is not None
        for new in self._fan_out.stand_in(node):
            shown = State(new)
            self.states[new] = shown
            self._open += 1
            self._finish(shown, result, cause=state.cause, message=message, error_type=error_type)
            if result is Result.FAILURE and isinstance(new, TaskNode):
                result, state.cause = Result.SKIP, new

    # -- attempts and nodes end --------------------------------------------------------------------

    def _attempt_started(self, attempt: Try) -> None:
        self.states[attempt.node].running = attempt
        report.attempt_started(self._recorder, attempt)
        self._listener.attempt_started(attempt)

    def _attempt_ended(self, ended: Ended) -> None:
        attempt, outcome = ended.attempt, ended.outcome
        state = self.states[attempt.node]
        if outcome.result is Result.CANCELLATION and not outcome.pid:  # no worker had begun it
            state.attempts, state.running = state.attempts - 1, None
            self._finish(state, unfinished(state), message=outcome.error_message)
            return
        if ended.lost and self._recover(state, attempt.node.handles, ended.lost):
            return
        self._afterwards(partial(report.attempt_ended, self._recorder, ended))
        state.outcome = replace(outcome, batch=Batch())
        retry_in = None
        if not self.cancelled:
            retry_in = pause(ended, attempt.number - state.before, self._note)
        self._afterwards(partial(self._listener.attempt_ended, ended, retry_in))
        state.running = None
        if retry_in is not None:
            state.running = PAUSED
            self.dispatcher.later(retry_in, lambda: self._retry(state))
            return
        state.refs = ended.values
        self._finish(
            state, outcome.result, message=outcome.error_message, error_type=outcome.error_type
        )

    def _note(self, attempt: Try, text: str) -> None:
        self._afterwards(partial(report.told, self._recorder, attempt, text))

    def _retry(self, state: State) -> None:
        if state.result is None:
            state.running = None
            if self.cancelled:
                self._finish(state, unfinished(state), message=self.cancelled)
            else:
                self._check(state)

    def _recover(self, state: State, handles: Iterable[Handle], lost: str) -> bool:
        """Have values that were lost made again, and ``state`` wait for them; False if that cannot be."""
        if not lost or self.cancelled or self.dispatcher.local:
            return False
        back = self._recovery.again(state, handles, lost)
        if back is None:
            return False
        if state.running is not None:  # its attempt never began
            state.attempts, state.running = state.attempts - 1, None
        self._open += len(back)
        for waiting in (*back, state):
            self._check(waiting)
        return True

    def _fail(self, state: State, message: str) -> None:
        """End a node whose values cannot be worked with."""
        state.running = None
        self._finish(state, Result.FAILURE, message=message, error_type="spanbook.errors.TaskError")

    def _skip(self, state: State, fault: State) -> None:
        cause = None if self.cancelled else fault.cause or task_of(fault.node)
        self._finish(state, Result.SKIP, cause=cause, message=fault.message)

    def _finish(
        self,
        state: State,
        result: Result,
        *,
        cause: TaskNode | None = None,
        message: str = "",
        error_type: str = "",
    ) -> None:
        if state.result is not None:
            return
        state.result, state.cause, state.message = result, cause, message
        self._open -= 1
        node = state.node
        if isinstance(node, TaskNode):
            self._afterwards(partial(self._report, state, node, result, error_type, time.time_ns()))
        elif result is not Result.SUCCESS and isinstance(node, MapNode):
            self._show_unexpanded(state, node, message, error_type)
        for up in state.holds:
            up.open_consumers -= 1
            up.free()
        state.holds = []
        state.free()
        self._tell(state)

    def _report(
        self, state: State, node: TaskNode, result: Result, error_type: str, end: int
    ) -> None:
        """Record that a task is over; by now others go on already."""
        if not state.reported:
            state.reported = True
            report.task_ended(self._recorder, state, node, result, error_type, end)
        if state.result is not None:  # it may have to run again by now
            self._listener.task_ended(state)
        if self.dispatcher.local:  # elsewhere it may have to run again
            node.arguments, node.handles, node.slot_arguments = {}, (), ()

    def _tell(self, ended: State) -> None:
        """Let those who waited for a node go on."""
        self._ended.append(ended)
        self._tell_all()

    def _tell_all(self) -> None:
        """Tell of all ends, those that come of it too; without recursion, for chains may be long."""
        if self._telling:
            return
        self._telling = True
        while self._ended:
            state = self._ended.popleft()
            state.told = True
            for consumer in list(state.consumers):
                if is_over(state, consumer.node):
                    consumer.waits -= 1
                self._check(consumer)
        self._telling = False
