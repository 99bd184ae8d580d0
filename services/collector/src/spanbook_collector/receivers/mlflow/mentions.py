"""Which runs logged something about another run's model, on disk beside the journals."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path

from spanbook_collector.receivers.mlflow.shelf import append

_LIST = ".mlflow-models.jsonl"


class Mentions:
    """Models and the runs that measured them, kept in a file, so that they outlive their collector."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LIST
        self._runs: defaultdict[str, set[str]] = defaultdict(set)
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                model, run = json.loads(line)
                self._runs[model].add(run)
            except (ValueError, TypeError):
                continue  # a line that was torn by a crash had not been acknowledged

    def of(self, model: str) -> list[str]:
        """The runs, by id, that logged something about a model of another run."""
        return sorted(self._runs.get(model, ()))

    async def keep(self, model: str, run: str) -> None:
        """Have it on disk that a run logs something about a model.

        Raises:
            OSError: the disk refused.
        """
        if run not in self._runs.get(model, ()):
            await asyncio.to_thread(append, self._path, json.dumps([model, run]))
            self._runs[model].add(run)
