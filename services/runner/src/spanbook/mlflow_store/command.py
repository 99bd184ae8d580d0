"""``spanbook import-mlflow``: from the command's words to run files."""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spanbook_runfile.find import default_runs

from spanbook.errors import UsageError, one_of
from spanbook.mlflow_store.convert import Family, Told, write
from spanbook.mlflow_store.files import Limits
from spanbook.mlflow_store.store import Store, StoredRun, open_store

_MB = 1_000_000
_SHOWN = 10  # problems that are told one by one


def add_import_mlflow_command(commands: Any) -> None:
    """Add ``import-mlflow`` to the command's subparsers."""
    command = commands.add_parser(
        "import-mlflow",
        help="make run files of an MLflow store",
        description="Make run files of the runs in an MLflow store, of MLflow 1 to 3. A run that is "
        "nested in another is a task of that one's run file. The same store imported again adds what "
        "is new; a run file is never rewritten. MLflow need not be installed.",
        epilog="Not imported: the model registry, datasets, traces and prompts.",
    )
    command.add_argument(
        "store",
        metavar="STORE",
        help="a folder (mlruns), a SQLite file (mlflow.db), or their URI: file:…, sqlite:///…",
    )
    command.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="the folder of run files (default: runs/ in SPANBOOK_OUTPUTS, else in pipeline-outputs/)",
    )
    command.add_argument(
        "--experiment",
        action="append",
        default=[],
        metavar="NAME",
        help="only this experiment; repeatable",
    )
    command.add_argument(
        "--deleted", action="store_true", help="also runs that were deleted in MLflow"
    )
    command.add_argument(
        "--unfinished",
        action="store_true",
        help="also runs that MLflow holds for running, as they stand: shown as interrupted",
    )
    command.add_argument(
        "--artifacts",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder in which artifacts are looked for, besides the store's own; repeatable",
    )
    command.add_argument("--no-artifacts", action="store_true", help="leave all files out")
    command.add_argument(
        "--max-file-mb",
        type=int,
        default=64,
        metavar="N",
        help="larger files are left out, and named in the run's log (default: %(default)s)",
    )
    command.add_argument(
        "--max-run-mb",
        type=int,
        default=512,
        metavar="N",
        help="files of one run beyond so much are left out (default: %(default)s)",
    )
    command.set_defaults(action=run)


@dataclass
class Tally:
    """What an import did, and what it left."""

    written: int = 0
    nested: int = 0
    there: int = 0
    deleted: int = 0
    unfinished: int = 0
    told: Told = field(default_factory=Told)
    problems: list[str] = field(default_factory=list)


def run(options: argparse.Namespace) -> int:
    """Import; returns 0, or 1 where a run could not be imported."""
    for flag in ("max_file_mb", "max_run_mb"):
        if getattr(options, flag) < 0:
            raise UsageError(f"--{flag.replace('_', '-')} cannot be below 0.")
    for folder in options.artifacts:
        if not folder.is_dir():
            raise UsageError(f"--artifacts {folder}: there is no such folder.")
    with contextlib.closing(open_store(options.store)) as store:
        store.roots = (*store.roots, *options.artifacts)
        return _run(store, options)


def _run(store: Store, options: argparse.Namespace) -> int:
    into = options.into or default_runs()
    tally = Tally()
    families = _wanted(_families(store.runs()), options, tally)
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {into} cannot be made: {error.strerror}.") from error
    limits = None
    if not options.no_artifacts:
        limits = Limits(file=options.max_file_mb * _MB, run=options.max_run_mb * _MB)
    failed = _import(families, store, into, limits, tally)
    _tell(tally, store, into)
    return 1 if failed else 0


def _wanted(families: Sequence[Family], options: argparse.Namespace, tally: Tally) -> list[Family]:
    """The families that are asked for: each stands or falls with its root, so that none is doubled."""
    known = {family.root.experiment for family in families}
    for name in options.experiment:
        if name not in known:
            raise UsageError(
                f"The store has no run of an experiment {name!r}. {one_of(name, known)}"
            )
    wanted = []
    for family in families:
        root = family.root
        if options.experiment and root.experiment not in options.experiment:
            continue
        if root.deleted and not options.deleted:
            tally.deleted += 1 + len(family.nested)
        elif not root.ended and not options.unfinished:
            tally.unfinished += 1 + len(family.nested)
        else:
            if not options.deleted:
                tally.deleted += sum(run.deleted for run in family.nested)
                family.nested = [run for run in family.nested if not run.deleted]
            wanted.append(family)
    return wanted


def _families(runs: Iterable[StoredRun]) -> list[Family]:
    """Runs with those nested in them, oldest first; one whose parent is not there stands alone."""
    ordered = sorted(runs, key=lambda run: (run.start or 0, run.id))
    by_id = {run.id: run for run in ordered}
    families: dict[str, Family] = {}
    for run in ordered:
        line = _line(run, by_id)
        root = line[0]
        family = families.setdefault(root.id, Family(root))
        if run is not root:
            family.nested.append(run)
            family.groups[run.id] = "/".join(
                (parent.name or parent.id[:8]).replace("/", "-") for parent in line[:-1]
            )
    return sorted(families.values(), key=lambda f: (f.root.start or 0, f.root.id))


def _line(run: StoredRun, by_id: dict[str, StoredRun]) -> list[StoredRun]:
    """A run with its parents before it; a circle of parents is cut where its id is smallest."""
    line, seen = [run], {run.id}
    while (parent := by_id.get(line[0].parent)) is not None:
        if parent.id in seen:
            circle = line[: 1 + line.index(parent)]
            first = min(circle, key=lambda one: one.id)
            return line[line.index(first) :] if first in line else line
        line.insert(0, parent)
        seen.add(parent.id)
    return line


def _import(
    families: Sequence[Family], store: Store, into: Path, limits: Limits | None, tally: Tally
) -> int:
    failed = 0
    for number, family in enumerate(families, start=1):
        _progress(number, len(families))
        if (into / f"{family.id}.json").exists():
            tally.there += 1
            continue
        try:
            _, told = write(family, store, into, limits)
        except OSError as error:
            failed += 1
            tally.problems.append(f"Run {family.root.id} could not be imported: {error}")
            continue
        tally.written += 1
        tally.nested += len(family.nested)
        tally.told.too_large += told.too_large
        tally.told.elsewhere += told.elsewhere
    return failed


def _progress(number: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if number == total else ""
        sys.stderr.write(f"\rrun {number:,} of {total:,}{end}")
        sys.stderr.flush()


def _tell(tally: Tally, store: Store, into: Path) -> None:
    nested = f" (with {tally.nested:,} nested runs)" if tally.nested else ""
    print(f"{_count(tally.written, 'run file')} written to {into}{nested}")
    if tally.there:
        print(f"{_count(tally.there, 'run')} there already: a run file is never rewritten")
    if tally.deleted:
        print(f"{_count(tally.deleted, 'deleted run')} left out: --deleted takes them too")
    if tally.unfinished:
        print(
            f"{_count(tally.unfinished, 'run')} still running by MLflow's account, left out: import "
            "again when they ended, or take them as they stand with --unfinished"
        )
    if tally.told.too_large:
        left = _count(tally.told.too_large, "file")
        print(f"{left} over the limits left out: --max-file-mb, --max-run-mb")
    if places := tally.told.elsewhere:
        print(
            f"Files of {_count(len(places), 'run')} are not here and were left out, the first at "
            f"{places[0]}: --artifacts DIR names a folder that holds them"
        )
    problems = [*store.problems, *tally.problems]
    for problem in problems[:_SHOWN]:
        print(f"spanbook: {problem}", file=sys.stderr)
    if len(problems) > _SHOWN:
        print(f"spanbook: … and {len(problems) - _SHOWN} more", file=sys.stderr)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
