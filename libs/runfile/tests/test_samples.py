"""The samples themselves: the same each time, and what they say they are."""

from io import BytesIO
from pathlib import Path

import onnx
import pytest
from nbformat import reads, validate
from PIL import Image
from spanbook_runfile import samples
from spanbook_runfile.samples import media


@pytest.mark.parametrize("name", samples.SEALED)
def test_the_same_each_time(name: str) -> None:
    """A sample has the same bytes each time."""
    assert samples.sealed(name) == samples.sealed(name)


def test_written(tmp_path: Path) -> None:
    """All samples are written as an outputs folder holds them, run files read-only; again too."""
    first = samples.write_samples(tmp_path)
    again = samples.write_samples(tmp_path)
    assert first == again
    assert {p.parent.name for p in first.values()} == {"runs", "journals"}
    assert first["ok"].stat().st_mode & 0o777 == 0o444
    assert len(samples.write_samples(tmp_path, broken=False)) == len(first) - 6


def test_many(tmp_path: Path) -> None:
    """A history has as many run files as were asked for, of both pipelines, some failed."""
    paths = samples.many_small(tmp_path, 30)
    assert len(set(paths)) == 30
    content = [path.read_bytes() for path in paths]
    assert 1 < sum(b'"stringValue":"daily-forecast"' in c for c in content) < 30
    assert sum(b"TaskFailed" in c for c in content) == 2


def test_media() -> None:
    """The sample files are what their names say, by their own libraries."""
    onnx.checker.check_model(onnx.load_from_string(media.onnx()))
    for kind in ({}, {"failing": True}, {"unfinished": True}):
        validate(reads(media.notebook("t", {"n": 1}, **kind).decode(), as_version=4))
    picture = Image.open(BytesIO(media.curve()))
    picture.load()
    assert picture.size == (200, 120)
