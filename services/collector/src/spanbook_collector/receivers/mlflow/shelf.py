"""The experiments that scripts named, on disk beside the journals."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spanbook_runfile.model import Child

from spanbook_collector.receivers.mlflow.lines import append, entries
from spanbook_collector.receivers.mlflow.views import DEFAULT, Experiment, Told

_LIST = ".mlflow-experiments.jsonl"  # the last line of an id counts


@dataclass(frozen=True)
class Known:
    """An experiment; times in ms."""

    id: str
    name: str
    created: int = 0
    updated: int = 0
    deleted: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def as_home(self) -> Experiment:
        """As the place of a run."""
        return Experiment(self.id, self.name)

    def as_json(self) -> dict[str, Any]:
        """As MLflow's client reads it."""
        return {
            "experiment_id": self.id,
            "name": self.name,
            "artifact_location": f"mlflow-artifacts:/{self.id}",
            "lifecycle_stage": "deleted" if self.deleted else "active",
            "creation_time": self.created,
            "last_update_time": self.updated,
            "tags": [{"key": key, "value": value} for key, value in self.tags.items()],
        }


class Shelf:
    """The experiments that scripts named, kept in a file, so that they outlive their collector."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LIST
        self._known: dict[str, Known] = {"0": Known("0", DEFAULT)}
        self._lock = asyncio.Lock()
        for entry in entries(self._path):
            with contextlib.suppress(TypeError):  # a foreign line
                found = Known(**entry)
                self._known[found.id] = found

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def get(self, experiment: str) -> Known | None:
        """An experiment by id."""
        return self._known.get(experiment)

    def named(self, name: str) -> Known | None:
        """An experiment by name."""
        return next((k for k in self._known.values() if k.name == name), None)

    def placed(self, told: Told) -> Told:
        """A run in the experiment that it is of, whatever that was called when the run began."""
        own = isinstance(told.logged, Child) and told.logged.experiment
        if own:
            found = self.named(own)
        elif not told.ref.alone or told.ref.run.startswith(told.experiment.prefix):
            return told
        else:
            found = next((k for k in self if told.ref.run.startswith(k.as_home().prefix)), None)
        return replace(told, experiment=found.as_home()) if found else told

    async def keep(self, known: Known) -> Known:
        """Have an experiment on disk as it is now.

        Raises:
            OSError: the disk refused.
        """
        async with self._lock:
            await asyncio.to_thread(append, self._path, known.__dict__)
            self._known[known.id] = known
        return known
