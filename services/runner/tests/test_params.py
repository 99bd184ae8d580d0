"""The pipeline's parameters: where they come from, and what they may be."""

import dataclasses
import datetime
import decimal
import enum
from typing import Any, Literal

import pytest
from spanbook import cli
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
    conf: "Conf | None" = None,
    price: decimal.Decimal = decimal.Decimal(1),
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
        "conf": None,
        "price": 1,
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


@dataclasses.dataclass
class Inner:
    """A part of another."""

    depth: int


@dataclasses.dataclass
class Conf:
    """Fields with types of their own."""

    rate: float
    inner: Inner | None = None


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
        ("90", datetime.timedelta, datetime.timedelta(seconds=90)),
        ("2026-01-02T03:04", datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4)),
        ('{"rate": "2", "inner": {"depth": "3"}}', "Conf", "Conf(rate=2.0, inner=Inner(depth=3))"),
        ("rate: 2", "Conf", "Conf(rate=2.0, inner=None)"),
    ],
)
def test_text_becomes_what_the_annotation_says(text, kind, value):
    """Each type has its spelling."""
    if kind == "Conf":
        kind, value = Conf, eval(value)
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
        (["until=tomorrow"], "write it as 2026-01-31"),
        (["conf={rat: 1}"], "Conf | None: it has no field 'rat'. Did you mean 'rate'?"),
        (["conf={rate: x}"], "its field 'rate' is 'x', which is no float: 'x' is not a number."),
        (["conf=3"], "give a mapping of its fields, rate, inner"),
        (["price=much"], "--param price is 'much', which is no Decimal"),
        (["sizes=1.5"], "'1.5' is not a whole number"),
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rate: fast", "'rate' in {file} is 'fast', which is no float"),
        (
            "siz: [1]",
            "'siz' in {file}: the pipeline 'training' has no such parameter. Did you mean",
        ),
        ("name: null", "'name' in {file} is None, which is no str: write a text"),
        ("name: [1]", "write a text"),
        ("until: 2026-01-02T03:04:05", "which is no datetime.date | None"),
    ],
)
def test_wrong_values_of_a_file_are_told(tmp_path, content, said):
    """With the parameter, the file, and what it should be."""
    file = tmp_path / "params.yaml"
    file.write_text(content)
    with pytest.raises(ParameterError) as error:
        resolve(training, file=file)
    assert said.format(file=file) in str(error.value)


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run", "p.py", "--onli", "x"],
            "`spanbook run` takes no '--onli'. Did you mean '--only'?",
        ),
        (["run", "p.py", "--para=x=1"], "takes no '--para'. Did you mean '--param'?"),
        (["run", "p.py", "--cpu", "2"], "takes no '--cpu'. Did you mean '--cpus'?"),
        (["run", "p.py", "again"], "takes no 'again'"),
        (["run", "p.py", "--cpus", "-1"], "--cpus -1: it cannot be below 0"),
        (["verify", "file", "--fast"], "`spanbook verify` takes no '--fast'"),
        (
            ["import", "file", "--runz", "x"],
            "`spanbook import` takes no '--runz'. Did you mean '--runs'?",
        ),
    ],
)
def test_misspelt_options_are_told(words, said, capsys):
    """With the nearest right one; none is taken for another by its beginning."""
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
