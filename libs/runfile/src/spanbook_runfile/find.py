"""Which run file is meant by a path, a run id, or the beginning of one."""

import os
from pathlib import Path

from spanbook_runfile.errors import NoSuchRunError

OUTPUTS = "SPANBOOK_OUTPUTS"
DEFAULT_OUTPUTS = "pipeline-outputs"


def default_runs() -> Path:
    """The folder of run files that the settings name."""
    return Path(os.environ.get(OUTPUTS) or DEFAULT_OUTPUTS) / "runs"


def find_run(text: str, runs: Path | None = None) -> Path:
    """The run file of a path, or of a run id or its unique beginning in a folder of run files.

    Raises:
        NoSuchRunError: there is none, or more than one.
    """
    path = Path(text)
    if path.is_file():
        return path
    runs = default_runs() if runs is None else runs
    if not text or "/" in text or "\\" in text:
        raise NoSuchRunError(f"There is no file {text}. Give the path of a run file, or a run id.")
    found = sorted(runs.glob(f"{_literal(text)}*.json")) if runs.is_dir() else []
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(path.stem for path in found[:3])
        raise NoSuchRunError(
            f"{len(found)} run files in {runs} begin with {text} ({some} …). "
            "Give more of the run id."
        )
    raise NoSuchRunError(
        f"There is no file {text}, and no run file in {runs} begins with it. "
        f"Give a path, or the folder of run files with --runs (or {OUTPUTS})."
    )


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
