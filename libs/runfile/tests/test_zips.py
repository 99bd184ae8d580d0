"""Zips: read within bounds, whatever they claim, and one error for all that cannot be read."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from spanbook_runfile.errors import NotAZipError, TooLargeError
from spanbook_runfile.zips import unzip


def _zip(*files: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return held.getvalue()


def _read(
    content: bytes, most: int = 1000, most_members: int = 10, suffix: str = ""
) -> list[tuple[str, bytes]]:
    return list(unzip(io.BytesIO(content), most=most, most_members=most_members, suffix=suffix))


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Names and bytes, of a file or of what is open; folders and other suffixes are left out."""
    content = _zip(("a.json", b"1"), ("folder/", b""), ("folder/b.json", b"2"), ("c.txt", b"3"))
    assert _read(content, suffix=".json") == [("a.json", b"1"), ("folder/b.json", b"2")]
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert len(list(unzip(path, most=100, most_members=10))) == 3
    assert _read(_zip()) == []


def test_a_bomb_is_read_no_further_than_the_limit() -> None:
    """Bytes count as they are unpacked, all files together, and whatever size is declared."""
    assert _read(_zip(("a", b"x" * 500), ("b", b"x" * 500)))
    with pytest.raises(TooLargeError, match="over the size limit"):
        _read(_zip(("a", b"x" * 500), ("b", b"x" * 501)))
    bomb = bytearray(_zip(("a", bytes(1_000_000))))
    at = bomb.index(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = struct.pack("<I", 10)  # says that it unpacks to 10 bytes
    with pytest.raises((NotAZipError, TooLargeError)):
        _read(bytes(bomb))
    with pytest.raises(TooLargeError, match="11 files; 10 are the most"):
        _read(_zip(*((f"{n}", b"") for n in range(11))))


def test_a_list_of_files_is_bounded_before_it_is_read() -> None:
    """A hundred thousand entries are never made objects, though each takes but 47 bytes of the zip."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    listed = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(listed), 0, 0)
    with pytest.raises(TooLargeError, match=r"lists its files in 4,700,000 bytes"):
        _read(listed + end)


def _changed(content: bytes, at: int, value: bytes) -> bytes:
    """A zip with other bytes at places of its local and central headers."""
    held = bytearray(content)
    held[at : at + len(value)] = value
    central = held.index(b"PK\x01\x02") + at + 2
    held[central : central + len(value)] = value
    return bytes(held)


GOOD = _zip(("a.json", b'{"a": 1}' * 20))


BAD = {
    "nothing": b"",
    "a prefix": b"PK",
    "a header": b"PK\x03\x04 and no more",
    "cut off": GOOD[:-30],
    "torn": GOOD[:40] + b"\0" * 20 + GOOD[60:],
    "protected": _changed(GOOD, 6, b"\x01\x00"),
    "an unknown compression": _changed(GOOD, 8, b"\x63\x00"),
    "of a version to come": _changed(GOOD, 4, b"\xff\x00"),
    "lzma": _zip(("a", b"x" * 99), how=zipfile.ZIP_LZMA),
    "bzip2": _zip(("a", b"x" * 99), how=zipfile.ZIP_BZIP2),
}


# by name: a zip holds the time, and bytes in a test's name would differ between xdist's workers
@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_told_as_one_error(content: bytes) -> None:
    """No zip, a broken, a protected one and one of a rare kind are a NotAZipError each."""
    with pytest.raises(NotAZipError, match="The zip cannot be read"):
        _read(content)
