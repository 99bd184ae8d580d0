"""Files that are no text and hold a secret: they are withheld, for a mask would break them."""

import contextlib
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from spanbook_runfile.names import ArtifactKind

if TYPE_CHECKING:
    from spanbook.emitter import Emitter
    from spanbook.masking import Masker

SUFFIX: Final = ".withheld.txt"
_PIECE: Final = 16 << 20
_UNPACKED: Final = 256 << 20  # of an archive; what lies beyond is not looked at


def published(
    masker: "Masker", data: bytes | None, file: Path | None, *, is_text: bool
) -> tuple[bytes | None, str]:
    """What may be recorded of a file: its bytes, None for those on the disk; and why it may not.

    The latter is the name of a variable, else empty. Secrets in text are masked.
    """
    if is_text:
        data = masker.data(_bytes(data, file))
    variable = secret_in(masker, data, file)
    if variable and not is_text:
        whole = _bytes(data, file)
        if _is_plain(whole):  # a settings file, say, whatever its suffix
            data = masker.data(whole)
            variable = secret_in(masker, data)
    return data, variable


def _bytes(data: bytes | None, file: Path | None) -> bytes:
    return data if data is not None else file.read_bytes()  # type: ignore[union-attr]


def _is_plain(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        return "\0" not in data.decode()
    return False


def secret_in(masker: "Masker", data: bytes | None, file: Path | None = None) -> str:
    """The name of a variable whose value a file holds, as it is or within a zip or gzip; or empty.

    Archives in archives, and what other formats compress, are not unpacked.
    """
    masker.refresh()
    forms = masker.in_bytes()
    if not forms:
        return ""
    with _opened(data, file) as stream:
        found = _search(_pieces(stream), forms)
        if found:
            return found
        stream.seek(0)
        head = stream.read(4)
        stream.seek(0)
        # A broken archive has nothing that can be unpacked.
        with contextlib.suppress(OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError):
            if head == b"PK\x03\x04":
                return _search(_members(stream), forms)
            if head[:2] == b"\x1f\x8b":
                return _search(_pieces(gzip.GzipFile(fileobj=stream), _UNPACKED), forms)
    return ""


def notice(name: str, size: int, variable: str) -> str:
    """What is recorded instead of a file, and told in the attempt's log."""
    return (
        f"{name!r} ({size:,} bytes) is withheld: it holds the value of the variable {variable}, whose "
        "name looks like a secret's, and a mask would break the file. Leave the value out of what is "
        "saved (clients and settings that are pickled are a common place), or give the variable "
        "another name if it is no secret."
    )


def withhold(emitter: "Emitter", name: str, size: int, variable: str) -> None:
    """Record that a file is withheld: a text in its place, and a warning."""
    text = notice(name, size, variable)
    severity = SeverityNumber.SEVERITY_NUMBER_WARN
    emitter.line("log", text, severity=severity, severity_text="WARNING", logger="spanbook")
    emitter.artifact(
        name + SUFFIX,
        f"{text}\n".encode(),
        media_type="text/plain",
        kind=ArtifactKind.FILE,
        meta={"withheld": name, "bytes": size},
    )


@contextlib.contextmanager
def _opened(data: bytes | None, file: Path | None) -> Iterator[BinaryIO]:
    if data is not None:
        yield io.BytesIO(data)
        return
    assert file is not None
    with file.open("rb") as stream:
        yield stream


def _pieces(stream: BinaryIO | gzip.GzipFile, most: int | None = None) -> Iterator[bytes]:
    left = most
    while (left is None or left > 0) and (piece := stream.read(_PIECE)):
        yield piece
        if left is not None:
            left -= len(piece)


def _members(stream: BinaryIO) -> Iterator[bytes]:
    left = _UNPACKED
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            with contextlib.suppress(NotImplementedError), archive.open(info) as member:
                for piece in _pieces(member, left):  # type: ignore[arg-type]
                    yield piece
                    left -= len(piece)
            yield b""  # no secret goes on from one member to the next


def _search(pieces: Iterator[bytes], forms: "dict[bytes, str]") -> str:
    """The variable of the first form that is found; a form may lie across two pieces."""
    overlap = max(map(len, forms)) - 1
    before = b""
    for piece in pieces:
        text = before + piece
        for form, variable in forms.items():
            if form in text:
                return variable
        before = text[-overlap:] if piece else b""
    return ""
