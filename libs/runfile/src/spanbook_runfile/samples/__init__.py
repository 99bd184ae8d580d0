"""Sample runs for tests, benchmarks and a first look, the same bytes each time.

They are composed through :mod:`spanbook_runfile.encode` and sealed by
:mod:`spanbook_runfile.merge`, as real runs are.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from spanbook_runfile.journal import SUFFIX
from spanbook_runfile.names import SealReason
from spanbook_runfile.samples import golden, hostile
from spanbook_runfile.samples.builder import SampleRun
from spanbook_runfile.samples.many import many, small, wide

SEALED: Mapping[str, Callable[[], SampleRun]] = {
    "ok": golden.ok,
    "failed": golden.failed,
    "retried": golden.retried,
    "timed-out": golden.timed_out,
    "killed": golden.killed,
    "cancelled": golden.cancelled,
    "interrupted": golden.interrupted,
    "empty": golden.empty,
    "foreign": golden.foreign,
    "hostile": hostile.hostile,
    "ancient": hostile.ancient,
    "distant": hostile.distant,
    "wide": wide,
}
WITHOUT_END = frozenset({"interrupted", "foreign"})  # no run span: sealed because nothing came


def sealed(name: str) -> bytes:
    """The bytes of one of the :data:`SEALED` sample runs."""
    reason = SealReason.IDLE if name in WITHOUT_END else SealReason.COMPLETE
    return SEALED[name]().sealed(reason)


def write_samples(outputs: Path, *, broken: bool = True) -> dict[str, Path]:
    """Write every sample under an outputs folder, as ``runs/`` and ``journals/`` hold them.

    Returns:
        Sample name → file. Without ``broken`` the files that are no run file are left out.
    """
    runs, journals = outputs / "runs", outputs / "journals"
    runs.mkdir(parents=True, exist_ok=True)
    journals.mkdir(exist_ok=True)
    written = {name: _write(runs, build().id, sealed(name)) for name, build in SEALED.items()}
    under_way = golden.running()
    written["running"] = journals / (under_way.id + SUFFIX)
    written["running"].write_bytes(under_way.journal())
    tampered = hostile.tampered()
    written["tampered"] = _write(runs, golden.ok("tampered").id, tampered)
    if broken:
        for name, content in hostile.broken().items():
            written[f"broken {name}"] = runs / name
            written[f"broken {name}"].write_bytes(content)
    return written


def many_small(runs: Path, count: int) -> list[Path]:
    """Write a history of ``count`` small run files into a folder of run files."""
    runs.mkdir(parents=True, exist_ok=True)
    return [_write(runs, run.id, run.sealed()) for run in many(count)]


def _write(runs: Path, run_id: str, content: bytes) -> Path:
    path = runs / f"{run_id}.json"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return path


__all__ = ["SEALED", "SampleRun", "many", "many_small", "sealed", "small", "wide", "write_samples"]
