"""Fan-outs: what ``.map`` makes of a task or pipeline and the iterables it is given."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spanbook.arguments import Arguments, bind, items_of
from spanbook.dag import current
from spanbook.errors import PipelineError
from spanbook.nodes import Handle


@dataclass(frozen=True)
class Mapper:
    """A task or pipeline with some arguments fixed."""

    title: str
    call: Callable[..., Any]
    signature: inspect.Signature
    fixed: Mapping[str, Any]
    sent: bool = False  # its arguments go to workers

    def map(self, *iterables: Any, **named: Any) -> Any:
        """Call it once for each item of the iterables.

        Raises:
            PipelineError: there is nothing to map over, an argument is given twice, or lists that
                are known differ in length.
        """
        mapped = self._by_name(iterables, named)
        bind(f"{self.title}.map", self.signature, (), {**self.fixed, **mapped})
        graph = current()
        if any(isinstance(v, Handle) for v in mapped.values()):
            if graph is None:
                raise PipelineError(
                    f"{self.title}.map was given a task's result outside a pipeline."
                )
            if self.sent:
                taken = Arguments(self.title, graph.literal)
                for key, value in self.fixed.items():
                    taken.argument(key, value)
            lists = {k: v if isinstance(v, Handle) else self._list(k, v) for k, v in mapped.items()}
            return graph.map(self.title, self._one, lists, self.fixed)
        return [self._one(**dict(zip(mapped, row, strict=True))) for row in self._rows(mapped)]

    def _one(self, **items: Any) -> Any:
        return self.call(**self.fixed, **items)

    def _by_name(self, iterables: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        taken = {*self.fixed, *named}
        free = [
            p.name
            for p in self.signature.parameters.values()
            if p.name not in taken and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        for p in self.signature.parameters.values():
            if p.kind is p.POSITIONAL_ONLY:
                raise PipelineError(
                    f"{self.title}.map gives each argument by name, and {p.name!r} takes none: remove the "
                    f"'/' from {self.signature}."
                )
        if len(iterables) > len(free):
            raise PipelineError(
                f"{self.title}.map was given {_count(iterables, 'iterable')} by position, but has only "
                f"{_count(free, 'parameter')} left: {self.signature}. Name what goes to **: "
                f"{self.title}.map(name=...)."
            )
        twice = set(self.fixed) & set(named)
        mapped = {**dict(zip(free, iterables, strict=False)), **named}
        if twice or not mapped:
            wrong = (
                f"{min(twice)!r} is fixed and mapped" if twice else "there is nothing to map over"
            )
            raise PipelineError(f"{self.title}.map: {wrong}.")
        return mapped

    def _rows(self, mapped: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        lists = {key: self._list(key, value) for key, value in mapped.items()}
        if len({len(items) for items in lists.values()}) > 1:
            sizes = ", ".join(f"{key} has {len(items)}" for key, items in lists.items())
            raise PipelineError(f"{self.title}.map: the iterables differ in length: {sizes}.")
        return list(zip(*lists.values(), strict=True))

    def _list(self, key: str, value: Any) -> list[Any]:
        try:
            return items_of(value)
        except TypeError as error:
            raise PipelineError(
                f"{self.title}.map, argument {key!r}: {error} Fix it with .partial({key}=...) if it is "
                "the same for each."
            ) from None


def _count(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
