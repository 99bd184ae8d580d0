"""Python values become OTLP values that every parser takes, whatever they are."""

import datetime
import enum
import math
from pathlib import PurePosixPath

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spanbook_runfile import encode, parse_run, samples
from spanbook_runfile.model import Json
from spanbook_runfile.paths import safe_path, unique


class Size(enum.IntEnum):
    """A number with a name."""

    BIG = 3


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)


def there_and_back(value: object) -> Json:
    """A value that is logged, sealed and read."""
    run = samples.SampleRun("values")
    run.log.value(0.0, "it", value)
    return parse_run(run.finish().sealed()).values["it"]


@settings(max_examples=150, deadline=None)
@given(values)
def test_json_values(value: object) -> None:
    """Any JSON value is read as it was logged."""
    assert there_and_back(value) == value


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2**70, str(2**70)),
        (Size.BIG, 3),
        (np.timedelta64(5, "s"), "0:00:05"),
        (datetime.timedelta(seconds=5), "0:00:05"),
        (np.float64(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(7), 7),
        ((1, "two"), [1, "two"]),
        (range(3), [0, 1, 2]),
        (datetime.date(2026, 11, 22), "2026-11-22"),
        (PurePosixPath("a/b"), "a/b"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ({1: {"x": None}}, {"1": {"x": None}}),
        (math.inf, math.inf),
        (b"bytes", None),
    ],
)
def test_other_values(value: object, found: object) -> None:
    """Numpy scalars, dates, huge integers and odd texts are read as what they say."""
    assert there_and_back(value) == found


def test_an_integer_without_end() -> None:
    """One that Python does not write in decimal digits is written in hexadecimal ones."""
    assert there_and_back(1 << 20_000) == hex(1 << 20_000)


def test_deep_and_cyclic_values() -> None:
    """A value nested too deep, or within itself, is cut to text and can be sent."""
    deep: object = "bottom"
    for _ in range(200):
        deep = {"next": [deep]}
    circle: list[object] = [1]
    circle.append(circle)
    assert "bottom" in orjson.dumps(there_and_back(deep)).decode()
    assert there_and_back(circle) == [1, "[1, [...]]"]


def test_numbers_that_are_not() -> None:
    """NaN stays NaN."""
    assert math.isnan(there_and_back(math.nan))  # type: ignore[arg-type]


def test_a_span_that_ends_before_it_starts() -> None:
    """A clock that was set back gives a span of no length, not a negative one."""
    span = encode.span(
        run_id="0" * 31 + "1", span_id="0" * 15 + "1", name="", start=9, end=5, attrs={}
    )
    assert span.end_time_unix_nano == 9


# -- paths ---------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.text(max_size=40) | st.sampled_from(samples.hostile.PATHS))
def test_safe_paths(path: str) -> None:
    """A safe path is relative, stays below its folder, and every part is an ordinary name."""
    made = safe_path(path)
    assert not made.is_absolute()
    assert 1 <= len(made.parts) <= 12
    for part in made.parts:
        assert part not in {"", ".", ".."}
        assert len(part) <= 81
        assert not set(part) & set('<>:"/\\|?*\0\n')
        assert part == part.strip(". ")
    assert safe_path(str(made)) == made


def test_unique_paths() -> None:
    """Ten thousand files of one name get names of their own, in no time, whatever their case."""
    taken: set[str] = set()
    made = [
        unique(PurePosixPath("a/File.txt" if n % 2 else "a/file.TXT"), taken) for n in range(10_000)
    ]
    assert len({str(path).lower() for path in made}) == 10_000
    assert str(made[0]) == "a/file.TXT"
    assert str(made[2]) == "a/file-3.TXT"
