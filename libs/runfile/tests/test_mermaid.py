"""Mermaid text: the DAG and Gantt chart of a run, within GitHub's limits and safe."""

import re

import pytest
from spanbook_runfile import mermaid, parse_run, samples
from spanbook_runfile.samples import golden, hostile


def test_dag() -> None:
    """Each task is a node with its title, run time and result, each link an edge; waiting is no run time."""
    text = mermaid.dag(parse_run(samples.sealed("ok")))
    assert text.count(":::success") == 10
    assert text.count("-->") == 11
    assert text.count('["train_model nr_train_images=') == text.count("<br/>2.0 s") == 3


def test_gantt() -> None:
    """Each try is a bar, a failed one critical, a running one active; a skip is a milestone."""
    text = mermaid.gantt(parse_run(samples.sealed("retried")))
    assert text.count(":crit") == 2
    assert "try 3, 880 ms :done, 1790172824120, 1790172825000" in text
    assert mermaid.gantt(parse_run(samples.sealed("failed"))).count(":milestone") == 5
    assert ":active" in mermaid.gantt(parse_run(golden.interrupted().sealed()))


@pytest.mark.parametrize("name", ["hostile", "wide-1000", *samples.SEALED])
def test_limits(name: str) -> None:
    """Whatever the run, GitHub's limits hold, and every line is of a form that we write."""
    content = samples.wide(1000).sealed() if name == "wide-1000" else samples.sealed(name)
    run = parse_run(content)
    dag, gantt = mermaid.dag(run), mermaid.gantt(run)
    assert len(dag) <= 50_000
    assert len(gantt) <= 50_000
    assert dag.count("-->") <= 500
    node = r't\d+\["[^"<>{}|`]*(<br/>[\w. ]+)+"\]:::\w+'
    line = re.compile(rf"flowchart LR|    ({node}|t\d+ --> t\d+|classDef \w+ [\w:#,\- ]+)")
    assert [text for text in dag.splitlines() if not line.fullmatch(text)] == []
    bar = r"[\w., ]+ :(done|crit|active|milestone), -?\d+, (\d+|0d)"
    line = re.compile(rf"gantt|    (title|section|dateFormat|axisFormat) [^;#<>{{}}]+|    {bar}")
    bars = [t for t in gantt.splitlines() if t and "#" not in t]
    assert [text for text in bars if not line.fullmatch(text.replace("%H:%M:%S", "t"))] == []


def test_folded() -> None:
    """A run of very many tasks shows tasks of one name as one node."""
    text = mermaid.dag(parse_run(samples.wide(1000).sealed()))
    assert '["step_0<br/>143 runs"]' in text


@pytest.mark.parametrize("text", [hostile.SCRIPT, hostile.BREAKOUT, hostile.RTL, '"]; click t0'])
def test_labels(text: str) -> None:
    """Neither quote, bracket, angle nor direction mark of a name is left as it is."""
    for made in (mermaid.label(text), mermaid.words(text)):
        assert not set(made) & set('"<>[]{}`|\u202e\n')


@pytest.mark.parametrize(
    ("nanoseconds", "told"),
    [
        (0, "0 ms"),
        (820_000_000, "820 ms"),
        (999_900_000, "1.0 s"),
        (12_340_000_000, "12.3 s"),
        (59_990_000_000, "1 min 00 s"),
        (245_000_000_000, "4 min 05 s"),
        (12_000_000_000_000, "3 h 20 min"),
    ],
)
def test_durations(nanoseconds: int, told: str) -> None:
    """Durations are told in the unit that fits, and never as 60 of one."""
    assert mermaid.duration(nanoseconds) == told
