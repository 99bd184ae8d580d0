"""Values that were lost with the machine that held them, and the tasks that make them again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ray
from ray import exceptions
from spanbook_runfile.names import Result

from spanbook.nodes import Handle, Node, TaskNode, handles_in
from spanbook.state import State
from spanbook.values import Inline
from spanbook.wiring import Wiring

RERUNS = 3  # of a task for its value; one that is lost as often is lost for another reason


class Recovery:
    """Finds out who made a lost value, and brings those tasks back into the run.

    On several machines a value lives where it was made. The driver's own node holds what helpers
    made, and ends only with the run; only the values of tasks can be lost.
    """

    def __init__(self, states: Mapping[Node, State], wiring: Wiring) -> None:
        self._states = states
        self._wiring = wiring

    def again(self, state: State, handles: Iterable[Handle], lost: str) -> list[State] | None:
        """Have the tasks run again whose values were lost, and ``state`` wait for them.

        Returns the tasks brought back, which still have to be started: none where others needed
        the value too, and it is being made again already, or is there. None: nobody can make it.
        """
        settled = [found for handle in handles for found in self._settled(handle)]
        above: dict[Node, State] = {
            h.node: self._states[h.node] for h in settled if isinstance(h.node, TaskNode)
        }
        makers: dict[Node, State] = {}
        for handle in settled:
            up = above.get(handle.node)
            if up is None:
                ref = self._wiring.ref(handle)
                if type(ref) is not Inline and ref.hex() == lost:
                    return None
            elif up.result is None:
                self._wait(state, up)
            elif up.refs and _is_lost(up.refs[handle.output], lost):
                makers[handle.node] = up
        if any(up.reruns >= RERUNS for up in makers.values()):
            return None
        if not makers and not any(up.reruns for up in above.values()):
            return None
        back: list[State] = []
        for up in makers.values():
            self._revive(up, state, back)
        return back

    def _settled(self, handle: Handle) -> Iterator[Handle]:
        for found in handles_in(self._wiring.settled(handle)):
            if found is handle or isinstance(found.node, TaskNode):
                yield found
            else:
                yield from self._settled(found)

    def _wait(self, state: State, up: State) -> None:
        """Wait for a task that is being run again, unless that is so already."""
        if state not in up.consumers:
            up.consumers.append(state)
            state.waits += 1

    def _revive(self, up: State, consumer: State, back: list[State]) -> None:
        """Bring a task that is over back into the run, and what it needs itself."""
        up.consumers = [c for c in up.consumers if c.result is None and c is not consumer]
        up.consumers.append(consumer)
        for waiting in up.consumers:
            waiting.waits += 1
        up.result, up.told, up.refs, up.running = None, False, None, None
        up.reruns, up.before = up.reruns + 1, up.attempts
        up.why = (
            f"This task runs again: the value that its attempt {up.attempts} returned was lost with "
            f"its machine, and {consumer.node.title!r} needs it."
        )
        back.append(up)
        for above in self._above(up):
            up.hold(above)
            if above.result is None:
                self._wait(up, above)
            elif above.result is Result.SUCCESS and not above.refs:  # nobody needed it any more
                self._revive(above, up, back)

    def _above(self, state: State) -> list[State]:
        """The tasks above one, directly or behind maps and eithers."""
        node = state.node
        handles = node.handles if isinstance(node, TaskNode) else ()
        above = {h.node for handle in handles for h in self._settled(handle)}
        return [self._states[up] for up in above if isinstance(up, TaskNode)]


def _is_lost(ref: Any, lost: str) -> bool:
    """Whether a value is gone; looking at one that is not runs no code of the user's."""
    if type(ref) is Inline:
        return False
    if ref.hex() == lost:
        return True
    try:
        ray.get(ref, timeout=0)
    except exceptions.ObjectLostError:
        return True
    except exceptions.RayError:  # it is elsewhere
        return False
    return False
