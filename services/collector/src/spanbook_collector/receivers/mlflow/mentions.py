"""Which runs logged something about another run's model, on disk beside the journals."""

import asyncio
import contextlib
from collections import defaultdict
from pathlib import Path

from spanbook_collector.receivers.mlflow.lines import append, entries

_LIST = ".mlflow-models.jsonl"


class Mentions:
    """Models and the runs that measured them, kept in a file, so that they outlive their collector."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LIST
        self._runs: defaultdict[str, set[str]] = defaultdict(set)
        for entry in entries(self._path):
            with contextlib.suppress(ValueError, TypeError):  # a foreign line
                model, run = entry
                self._runs[model].add(run)

    def of(self, model: str) -> list[str]:
        """The runs, by id, that logged something about a model of another run."""
        return sorted(self._runs.get(model, ()))

    async def keep(self, model: str, run: str) -> None:
        """Have it on disk that a run logs something about a model.

        Raises:
            OSError: the disk refused.
        """
        if run not in self._runs.get(model, ()):
            await asyncio.to_thread(append, self._path, [model, run])
            self._runs[model].add(run)
