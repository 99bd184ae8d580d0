"""A fan-out over values that are known only at run time: how many there are, and a task for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from spanbook import values
from spanbook.dag import Graph
from spanbook.dispatch import Dispatcher
from spanbook.faults import lost_ref
from spanbook.nodes import Handle, MapNode, Node
from spanbook.wiring import Wiring

MAP_LIMIT = 100_000  # items of one .map

Rows = list[dict[str, Any]]  # the arguments of each call
Failed = Callable[[str, str], None]  # the reason, and the id of the object that was lost


@dataclass(frozen=True, slots=True)
class FanOut:
    """Expands the fan-outs of a graph while it runs."""

    graph: Graph
    wiring: Wiring
    dispatcher: Dispatcher

    def rows(self, node: MapNode, ready: Callable[[Rows], None], failed: Failed) -> None:
        """Find out the width; ``ready`` is given the arguments of each call, or ``failed`` the reason."""
        ask = self.dispatcher.helper(values.items)
        columns: dict[str, Any] = {**node.known}
        columns |= {key: self.wiring.settled(source) for key, source in node.sources.items()}
        found: dict[str, Sequence[Any]] = {
            k: v for k, v in columns.items() if not isinstance(v, Handle)
        }

        def answer(key: str, value: Any) -> None:
            if isinstance(value, BaseException):
                failed(f"{node.title}.map, argument {key!r}: {told(value)}", lost_ref(value))
                return
            found[key] = value
            if len(found) == len(columns):
                self._split(node, columns, found, ready, failed)

        for key, column in columns.items():
            if isinstance(column, Handle):
                ref = ask.remote(self.wiring.ref(column), column.path)
                self.dispatcher.ask(ref, partial(answer, key))
        if len(found) == len(columns):
            self._split(node, columns, found, ready, failed)

    def _split(
        self,
        node: MapNode,
        columns: dict[str, Any],
        found: dict[str, Sequence[Any]],
        ready: Callable[[Rows], None],
        failed: Failed,
    ) -> None:
        """Make values of their own of the items of a value."""
        sizes = {key: len(found[key]) for key in columns}
        size = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{key} has {size}" for key, size in sizes.items())
            failed(f"{node.title}.map: the mapped values differ in length: {counts}.", "")
            return
        if size > MAP_LIMIT:
            failed(f"{node.title}.map: {size:,} items are over the limit of {MAP_LIMIT:,}.", "")
            return
        items: dict[str, Sequence[Any]] = {}
        for key, column in columns.items():
            items[key] = found[key]
            if isinstance(column, Handle):
                refs = self._refs(column, found[key])
                items[key] = [self.graph.item(column.node, ref, i) for i, ref in enumerate(refs)]
        ready([{key: items[key][i] for key in items} for i in range(size)])

    def _refs(self, column: Handle, small: Sequence[Any]) -> list[Any]:
        """The items of a value: small ones are here, of large ones Ray makes values."""
        large = [number for number, item in enumerate(small) if item is None]
        refs = list(small)
        if large:
            split = self.dispatcher.helper(values.split, len(large))
            made: Any = split.remote(self.wiring.ref(column), column.path, large)
            for number, ref in zip(large, made if isinstance(made, list) else [made], strict=True):
                refs[number] = ref
        return refs

    def build(self, node: MapNode, rows: Rows) -> list[Node]:
        """Call what is mapped once for each row; returns the nodes that this adds to the graph."""
        before = len(self.graph.nodes)
        try:
            with self.graph.building(like=node):
                results = [node.expand(**row) for row in rows]
        except BaseException:
            del self.graph.nodes[before:]
            raise
        node.results = results
        return self.graph.nodes[before:]

    def stand_in(self, node: MapNode) -> list[Node]:
        """What a fan-out that never came to be is shown as: as if it had been over one item."""
        origin = next((h.node for h in node.sources.values()), node)
        row: dict[str, Any] = {key: self.graph.item(origin, None, 0) for key in node.sources}
        row |= {key: items[0] if items else None for key, items in node.known.items()}
        try:
            return self.build(node, [row])
        except Exception:  # noqa: BLE001 (then there is nothing to show; the run's result tells)
            return []


def told(error: BaseException) -> str:
    """What a helper's error on a worker says."""
    cause = getattr(error, "cause", None)
    return str(cause if cause is not None else error)
