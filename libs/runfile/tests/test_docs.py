"""docs/run-file.md and the code say the same, and its examples run."""

import re
from enum import StrEnum
from pathlib import Path

import orjson
import pytest
from spanbook_runfile import names, samples
from spanbook_runfile.journal import MAGIC, Signal, frame

DOCS = Path(__file__).parents[3] / "docs" / "run-file.md"
TEXT = DOCS.read_text(encoding="utf-8")
QUOTED = set(re.findall(r"`([^`\n]+)`", TEXT))
CONSTANTS = {
    name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)
}
ENUMS = [e for e in vars(names).values() if isinstance(e, type) and issubclass(e, StrEnum)]


@pytest.mark.parametrize("name", CONSTANTS)
def test_each_name_is_told(name: str) -> None:
    """Each attribute and metric name of the code is in the docs."""
    assert CONSTANTS[name] in QUOTED


@pytest.mark.parametrize("member", [m for e in ENUMS if e is not StrEnum for m in e], ids=repr)
def test_each_value_is_told(member: StrEnum) -> None:
    """Each event, type, kind, result and reason of the code is in the docs."""
    assert str(member) in QUOTED


def test_each_told_name_is_one() -> None:
    """Each name in the docs that looks like ours, or like a convention's, is in the code."""
    known = set(CONSTANTS.values()) | {str(m) for e in ENUMS for m in e} | {"spanbook."}
    pattern = re.compile(
        r"(spanbook|cicd|vcs|service|host|process|log|exception|error)\.[a-z_.0-9]+"
    )
    told = {name for name in QUOTED if pattern.fullmatch(name)} - {"spanbook.paths"}
    assert told - known == set()


def test_seal_members() -> None:
    """The docs tell each key of the ``spanbook`` member."""
    note = orjson.loads(samples.sealed("ok"))["spanbook"]
    keys = {*note, "unreadable", *note["received"]}
    assert keys <= QUOTED


@pytest.mark.parametrize(
    "code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL), ids=lambda c: c.split("\n")[0]
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # examples open files the short way
def test_examples(
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each example runs on a real run file and finds what is in it."""
    (tmp_path / "run.json").write_bytes(samples.sealed("ok"))
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(code, found)
    out = capsys.readouterr().out
    if "print" in code:
        assert "train_model" in out
        assert "success" in out
    if "metrics" in found:
        assert len(found["metrics"]) > 60  # type: ignore[arg-type]


def test_frames() -> None:
    """The table of a journal's bytes is true of a journal."""
    assert len(MAGIC) == 19
    assert MAGIC == b"spanbook journal 1\n"
    assert frame(Signal.LOGS, b"abc")[:5] == b"\x02\x03\x00\x00\x00"
    assert len(frame(Signal.LOGS, b"abc")) == 1 + 4 + 4 + 3
    assert [s.value for s in Signal] == [1, 2, 3]
