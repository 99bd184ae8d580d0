"""The pipeline's parameters: where they come from, and what they may be."""

import datetime
import enum
from typing import Any, Literal

import pytest
from spanbook.errors import ParameterError
from spanbook.params import convert, describe, resolve
from spanbook.pipeline import pipeline


@pipeline
def training(
    sizes: list[int] = [400, 500],  # noqa: B006
    rate: float = 0.1,
    name: str = "run",
    fast: bool = False,
    until: datetime.date | None = None,
    mode: Literal["dev", "ci"] = "dev",
) -> None:
    """A pipeline with parameters of all kinds."""


def test_defaults_are_the_signatures():
    """What nobody gives is as the pipeline says."""
    assert resolve(training) == {
        "sizes": [400, 500],
        "rate": 0.1,
        "name": "run",
        "fast": False,
        "until": None,
        "mode": "dev",
    }


def test_flags_come_before_the_file_and_the_file_before_the_environment(tmp_path):
    """``--param``, then ``--params``, then ``SPANBOOK_PARAM_*``, then the default."""
    file = tmp_path / "params.yaml"
    file.write_text("sizes: [1, 2]\nrate: 1\nuntil: 2026-01-02\n")
    env = {"SPANBOOK_PARAM_RATE": "3", "SPANBOOK_PARAM_NAME": "from env", "SPANBOOK_OTHER": "x"}
    found = resolve(training, flags=["sizes=7,8", "fast=yes"], file=file, env=env)
    assert found["sizes"] == [7, 8]
    assert found["rate"] == 1.0
    assert isinstance(found["rate"], float)
    assert found["name"] == "from env"
    assert found["fast"] is True
    assert found["until"] == datetime.date(2026, 1, 2)


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5", int, 5),
        ("1e-3", float, 0.001),
        ("nan", float, float("nan")),
        ("off", bool, False),
        ("1,2,3", list[int], [1, 2, 3]),
        ("[1, 2]", list[float], [1.0, 2.0]),
        ("a,b", list[str], ["a", "b"]),
        ("1,x", tuple[int, str], (1, "x")),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        ("none", int | None, None),
        ("5", int | str, 5),
        ("five", int | str, "five"),
        ("RED", Colour, Colour.RED),
        ("123", str, "123"),
        ("[1, {a: 2}]", Any, [1, {"a": 2}]),
        ("", list[int], []),
    ],
)
def test_text_becomes_what_the_annotation_says(text, kind, value):
    """Each type has its spelling."""
    found = convert(text, kind)
    assert found == value or found != found
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["size=1"], "no such parameter. Did you mean 'sizes'?"),
        (["sizes"], "has no '='"),
        (["rate=fast"], "--param rate is 'fast', which is no float"),
        (["sizes=1,x"], "no list[int]"),
        (["fast=perhaps"], "write true or false"),
        (["mode=prod"], "choose from 'dev', 'ci'"),
        (["until=tomorrow"], "no datetime.date | None"),
    ],
)
def test_wrong_parameters_are_told(flags, said):
    """The message names the parameter, the value, and what it should be."""
    with pytest.raises(ParameterError) as error:
        resolve(training, flags=flags)
    assert said in str(error.value)


def test_a_file_that_is_no_mapping(tmp_path):
    """The file is named, and what it should hold."""
    file = tmp_path / "params.yaml"
    file.write_text("- 1\n")
    with pytest.raises(ParameterError, match="should be a mapping"):
        resolve(training, file=file)
    with pytest.raises(ParameterError, match="cannot be read"):
        resolve(training, file=tmp_path / "none.yaml")


def test_parameters_are_described():
    """Name, type and default, for ``--help``."""
    assert describe(training)[:2] == ["sizes: list[int] = [400, 500]", "rate: float = 0.1"]


def test_a_required_parameter():
    """One without a default must be given."""

    @pipeline
    def needs(x: int) -> None:
        """A pipeline with a parameter that must be given."""

    with pytest.raises(ParameterError, match="no default"):
        resolve(needs)
