"""Run files out of a zip that anybody may have made."""

from collections.abc import Iterator
from pathlib import Path

import orjson
from spanbook_runfile import RunFileError, TooLargeError, parse_run, trim
from spanbook_runfile.errors import NotAZipError
from spanbook_runfile.model import Run
from spanbook_runfile.zips import unzip

from spanbook_site.collect.errors import RefusedArtifactError

MOST_MEMBERS = 1000


def run_files(archive: Path, most: int) -> Iterator[tuple[Run, bytes]]:
    """Every run file in a zip, parsed, with its bytes; members' names and folders mean nothing.

    ``most`` bounds the unpacked bytes of the whole zip: what is declared is not believed, only
    so much is read.

    Raises:
        RefusedArtifactError: not a zip, too large, or a member that is no sealed run file.
    """
    found = False
    try:
        for _, content in unzip(archive, most=most, most_members=MOST_MEMBERS):
            found = True
            yield sealed_run(content), content
    except (NotAZipError, TooLargeError) as error:
        raise RefusedArtifactError(str(error)) from error
    if not found:
        raise RefusedArtifactError("the zip is empty")


def sealed_run(content: bytes) -> Run:
    """A run file's bytes as a run, when it is sealed and its digest holds.

    Raises:
        RefusedArtifactError: it is no sealed run file, or was changed after its seal.
    """
    try:
        run = parse_run(content, name="its file")
    except RunFileError as error:
        raise RefusedArtifactError(str(error)) from error
    if run.seal is None:
        raise RefusedArtifactError("its file is not sealed: it has no member 'spanbook'")
    if not trim.is_whole(content):
        raise RefusedArtifactError("its file does not match its own digest: it was changed")
    return run


def is_run_file(path: Path) -> bool:
    """Whether a file that is no zip looks like a run file (GitHub can keep one file unzipped)."""
    with path.open("rb") as stream:
        return stream.read(1) == orjson.dumps({})[:1]
