"""Where run files came from by GitHub's word: nothing is fetched twice, no claim is taken on trust."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from spanbook_runfile import Run, names

from spanbook_site import formats

if TYPE_CHECKING:
    from spanbook_site.collect.github import Artifact

NAME = "origins.json"
MOST_CONFLICTS = 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run file came from by GitHub's word, and what of its own word differs from that."""

    artifact: int
    workflow_run: int | None
    branch: str
    sha: str
    fork: bool
    conflicts: tuple[str, ...] = ()
    repository: str = ""

    @classmethod
    def of(cls, artifact: "Artifact", run: Run, repository: str) -> "Origin":
        """The origin of a run that an artifact of ``repository`` (``owner/name``) held."""
        return cls(
            artifact.id,
            artifact.workflow_run,
            artifact.branch,
            artifact.sha,
            artifact.fork,
            tuple(_conflicts(artifact, run, repository)),
            repository,
        )

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "Origin":
        """An entry of a ledger.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        return cls(
            artifact=int(raw["artifact"]),
            workflow_run=None if raw["workflow_run"] is None else int(raw["workflow_run"]),
            branch=str(raw["branch"]),
            sha=str(raw["sha"]),
            fork=bool(raw["fork"]),
            conflicts=tuple(str(why) for why in raw["conflicts"]),
            repository=str(raw.get("repository", "")),
        )

    @property
    def trusted(self) -> bool:
        """Whether the run may count as the record: of the repository itself, and of one story."""
        return not self.fork and not self.conflicts

    @property
    def notes(self) -> list[str]:
        """What a reader of the run's page should know, in words."""
        said = [f"What it says of itself is not so: {why}." for why in self.conflicts]
        return [*(["It is of a pull request from a fork."] if self.fork else []), *said]

    def applied(self, run: Run) -> Run:
        """The run with GitHub's word in place of its own, where the two differ."""
        resource = dict(run.resource)
        if self.branch:  # also where it names none: runs without a branch count as the record
            resource[names.REF_NAME] = self.branch
        if self.conflicts:  # links that it chose lead wherever it likes
            for name in (names.REPOSITORY_URL, names.PIPELINE_RUN_URL):
                resource.pop(name, None)
        return replace(run, resource=resource)


def _conflicts(artifact: "Artifact", run: Run, repository: str) -> list[str]:
    """Each claim of the run file that GitHub contradicts; a claim that is not made is none."""
    if artifact.workflow_run is None:
        return ["GitHub does not say which workflow run it is of"]
    owner, _, name = repository.partition("/")
    claimed = (run.context(names.OWNER_NAME), run.context(names.REPOSITORY_NAME))
    found = []
    if not artifact.fork:
        whole = "/".join(filter(None, claimed))
        if whole and whole.lower() not in (repository.lower(), name.lower(), owner.lower()):
            found.append(_told("repository", whole, repository))
    branch = run.context(names.REF_NAME)
    if not artifact.branch:
        found.append("GitHub does not say which branch it is of")
    elif branch and branch != artifact.branch:
        found.append(_told("branch", branch, artifact.branch))
    url = run.context(names.PIPELINE_RUN_URL)
    if url:
        number = str(artifact.workflow_run)
        parts = url.partition("/actions/runs/")[2].split("/")
        if parts[0] != number or f"/{repository}/".lower() not in url.lower():
            found.append(f"it names another workflow run than {number} of {repository}")
    # a pull request's run is of a merge commit, which GitHub lists by its head
    sha = run.context(names.REF_REVISION)
    if sha and artifact.sha and sha != artifact.sha and not run.context(names.CHANGE_ID):
        found.append(_told("commit", sha[:12], artifact.sha[:12]))
    return found[:MOST_CONFLICTS]


def _told(what: str, claim: str, fact: str) -> str:
    return f"it says {what} {formats.text(claim, 120)!r}, GitHub says {fact!r}"


@dataclass
class Ledger:
    """The record beside the run files, rewritten whole and in one step after each artifact."""

    path: Path
    runs: dict[str, Origin] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)  # artifact id → why
    done: dict[int, tuple[str, ...]] = field(default_factory=dict)  # artifact id → its runs

    @classmethod
    def load(cls, folder: Path) -> "Ledger":
        """The ledger of a folder; a missing or damaged one is empty, and all is fetched again."""
        ledger = cls(folder / NAME)
        try:
            ledger.add(orjson.loads(ledger.path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(folder / NAME)
        return ledger

    def add(self, raw: Mapping[str, Any]) -> None:
        """Take over what another ledger says, where this one says nothing.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is none.
        """
        runs = {str(run_id): Origin.parse(origin) for run_id, origin in raw["runs"].items()}
        refused = {int(number): str(why) for number, why in raw["refused"].items()}
        done = {int(number): tuple(map(str, ids)) for number, ids in raw["done"].items()}
        self.runs = runs | self.runs
        self.refused = refused | self.refused
        self.done = done | self.done

    def as_json(self, only: Iterable[str] | None = None) -> dict[str, Any]:
        """The ledger as it is written; ``only`` those runs, and what came of artifacts."""
        kept = set(self.runs) if only is None else set(only)
        return {
            "runs": {
                key: asdict(origin) for key, origin in sorted(self.runs.items()) if key in kept
            },
            "refused": {str(number): why for number, why in sorted(self.refused.items())},
            "done": {str(number): list(ids) for number, ids in sorted(self.done.items())},
        }

    def forget_all_but(self, listed: set[int]) -> None:
        """Drop what became of artifacts that GitHub lists no more; their runs stay."""
        self.done = {number: ids for number, ids in self.done.items() if number in listed}
        self.refused = {number: why for number, why in self.refused.items() if number in listed}

    def save(self) -> None:
        """Write it aside and rename it into place."""
        aside = self.path.with_name(f".{NAME}.{os.getpid()}.tmp")
        aside.write_bytes(orjson.dumps(self.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
        aside.replace(self.path)


__all__ = ["NAME", "Ledger", "Origin"]
