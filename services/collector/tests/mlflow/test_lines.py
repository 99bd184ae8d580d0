"""The small files beside the journals: what was acknowledged is there, whatever a crash left before it."""

from pathlib import Path

import pytest
from spanbook_collector.receivers.mlflow.lines import append, entries


@pytest.mark.parametrize("torn", [b"", b'["a", "to', b"\0" * 40, b'["\xff', b"\n"])
def test_what_a_crash_tore_takes_nothing_along(tmp_path: Path, torn: bytes) -> None:
    """A line without its end, or zeros that a power cut left, spoil neither the line before nor the next."""
    path = tmp_path / "list.jsonl"
    assert list(entries(path)) == []
    append(path, ["first", 1])
    with path.open("ab") as stream:
        stream.write(torn)
    append(path, ["next", 2])
    assert list(entries(path)) == [["first", 1], ["next", 2]]


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    """What could not be written is not acknowledged."""
    with pytest.raises(OSError, match="No such file"):
        append(tmp_path / "missing" / "list.jsonl", ["first", 1])
