"""What bringing back earlier runs did, and a run file put in its place."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spanbook_runfile import RunFileError, parse_run, trim
from spanbook_runfile.merge import write_run_file

from spanbook_site.collect.collect import is_held
from spanbook_site.collect.errors import RefusedArtifactError
from spanbook_site.formats import plural
from spanbook_site.output import replace_file


@dataclass
class Restored:
    """How many runs came back, were here, and could not be had, with the reason."""

    source: str
    came: int = 0
    known: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report, a line each."""
        yield f"{plural(self.came, 'earlier run')} from {self.source}, {self.known} here already"
        for run_id, why in self.lost:
            yield f"lost {run_id}: {why}"


def put(folder: Path, run_id: str, stored: bytes, most: int, *, trimmed: bool) -> None:
    """Write a run file, or a trimmed one, under its run id, once it has proved to be that run's.

    Raises:
        RefusedArtifactError: it is not, was changed, or is over ``most`` bytes.
    """
    try:
        content = trim.unpack(stored, most) if trimmed else stored
        found = parse_run(content)
    except RunFileError as error:
        raise RefusedArtifactError(str(error)) from error
    if found.id != run_id or not trim.is_whole(content):
        raise RefusedArtifactError("it is another run's file, or was changed after its seal")
    if is_held(folder, run_id):
        return
    if trimmed:
        replace_file(folder / f"{run_id}{trim.SUFFIX}", stored)
    else:
        write_run_file(folder, run_id, stored)


__all__ = ["Restored", "put"]
