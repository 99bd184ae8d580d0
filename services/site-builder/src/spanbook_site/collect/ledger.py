"""What was collected, from where: nothing is fetched twice, and no claim is taken on trust."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
from spanbook_runfile import names
from spanbook_runfile.model import Run

from spanbook_site.collect.github import Artifact

NAME = "origins.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run file came from by GitHub's word, and what of its own word differs from that."""

    artifact: int
    workflow_run: int | None
    branch: str
    sha: str
    fork: bool
    conflicts: tuple[str, ...] = ()

    @classmethod
    def of(cls, artifact: Artifact, run: Run, repository: str) -> "Origin":
        """The origin of a run that an artifact of ``repository`` (``owner/name``) held."""
        return cls(
            artifact.id,
            artifact.workflow_run,
            artifact.branch,
            artifact.sha,
            artifact.fork,
            tuple(_conflicts(artifact, run, repository)),
        )


def _conflicts(artifact: Artifact, run: Run, repository: str) -> list[str]:
    """Each claim of the run file that GitHub contradicts; a claim that is not made is none."""
    facts: Mapping[str, tuple[str, set[str]]] = {
        "repository": (
            "/".join(filter(None, map(run.context, (names.OWNER_NAME, names.REPOSITORY_NAME)))),
            {repository, repository.partition("/")[2]},
        ),
        "branch": (run.context(names.REF_NAME), {artifact.branch}),
    }
    found = [
        f"it says {what} {claim!r}, GitHub says {' or '.join(sorted(allowed))!r}"
        for what, (claim, allowed) in facts.items()
        if claim and claim not in allowed and not (artifact.fork and what == "repository")
    ]
    url = run.context(names.PIPELINE_RUN_URL)
    if url and artifact.workflow_run and f"/actions/runs/{artifact.workflow_run}" not in url:
        found.append(f"it names another workflow run than {artifact.workflow_run}")
    # a pull request's run is of a merge commit, which GitHub lists by its head
    sha = run.context(names.REF_REVISION)
    if sha and artifact.sha and sha != artifact.sha and not run.context(names.CHANGE_ID):
        found.append(f"it says commit {sha[:12]}, GitHub says {artifact.sha[:12]}")
    return found


@dataclass
class Ledger:
    """The record beside the run files, rewritten whole and in one step after each artifact."""

    path: Path
    runs: dict[str, Origin] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # artifact id → why
    done: set[int] = field(default_factory=set)

    @classmethod
    def load(cls, folder: Path) -> "Ledger":
        """The ledger of a folder; a missing or damaged one is empty, and all is fetched again."""
        ledger = cls(folder / NAME)
        try:
            found = orjson.loads(ledger.path.read_bytes())
            ledger.runs = {
                run_id: Origin(**{**origin, "conflicts": tuple(origin["conflicts"])})
                for run_id, origin in found["runs"].items()
            }
            ledger.refused = dict(found["refused"])
            ledger.done = set(found["done"])
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(folder / NAME)
        return ledger

    def save(self) -> None:
        """Write it aside and rename it into place."""
        whole = {
            "runs": {run_id: asdict(origin) for run_id, origin in sorted(self.runs.items())},
            "refused": dict(sorted(self.refused.items())),
            "done": sorted(self.done),
        }
        aside = self.path.with_name(f".{NAME}.{os.getpid()}.tmp")
        aside.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")
        aside.replace(self.path)
