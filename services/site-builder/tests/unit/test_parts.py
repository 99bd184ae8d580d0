"""Small parts: addresses, formats, the critical path, the time axis, and settings."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from spanbook_runfile import parse_run
from spanbook_runfile.samples import golden, sealed, wide
from spanbook_site import formats, previews, settings
from spanbook_site.draw.critical import critical_path
from spanbook_site.draw.folding import fold
from spanbook_site.draw.gantt import gantt, ticks
from spanbook_site.draw.layers import in_layers
from spanbook_site.errors import OutputError, SettingsError
from spanbook_site.output import Output
from spanbook_site.urls import Urls, slug

PARTS = st.lists(
    st.text("abc.%# é", min_size=1, max_size=4).filter(lambda p: p not in (".", "..")),
    min_size=1,
    max_size=4,
)


@given(PARTS, PARTS)
def test_a_link_leads_back_to_its_address(page: list[str], target: list[str]) -> None:
    """Following a relative link from a page gives the address, whatever both are."""
    import posixpath
    from urllib.parse import unquote

    link = Urls("/".join(page)).to("/".join(target))
    joined = posixpath.normpath(posixpath.join(posixpath.dirname("/".join(page)), unquote(link)))
    assert joined == posixpath.normpath("/".join(target))


@given(st.text(max_size=200), st.text(max_size=200))
def test_slugs_are_safe_and_apart(one: str, other: str) -> None:
    """Names become plain folder names, and two names never the same one, even without case."""
    assert slug(one).isascii()
    assert "/" not in slug(one)
    assert slug(one).strip(".")
    assert slug(one).lower() == slug(one)
    assert slug(formats.name(one)) == slug(one)
    if one != other:
        assert slug(one) != slug(other)


def test_names_that_look_alike_are_apart() -> None:
    """A name of which something is not shown bears a digest, and is shown with it."""
    alike = ["a\u200bb", "a\u200cb", "a\nb", "x" * 120 + "1", "x" * 120 + "2", "a\ufffdb"]
    assert len({formats.name(name) for name in alike}) == len(alike)
    assert len({slug(name) for name in alike}) == len(alike)
    assert formats.name("train_model") == "train_model"
    assert len(formats.name("x" * 10_000)) <= 120


def test_a_new_line_is_seen_as_one() -> None:
    """On one line a new line is an arrow and a tab a space; what cannot be seen is still marked."""
    assert formats.text("a\r\nb\tc\x00") == "a\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}b c\ufffd"
    assert formats.visible("a\nb\tc\x00", lines=True) == "a\nb\tc\ufffd"


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ms"), (85_000_000, "85 ms"), (3_240_000_000, "3.2 s"), (59_960_000_000, "1 min 00 s"),
     (84_000_000_000, "1 min 24 s"), (7_500_000_000_000, "2 h 05 min"), (400_000 * 10**9, "4.6 d"), (None, "")],
)  # fmt: skip
def test_durations(ns: int | None, text: str) -> None:
    """A time span has two units at most, and never sixty of one."""
    assert formats.duration(ns) == text


@given(st.integers(0, 2**63 - 1))
def test_every_time_can_be_written(ns: int) -> None:
    """Times from 1970 to the end of 64 bits have an ISO form and a human one."""
    assert formats.iso(ns).endswith("Z")
    assert formats.when(ns).endswith("UTC")


@given(st.floats() | st.integers())
def test_numbers_keep_six_digits(value: float) -> None:
    """A shown number is the number, to six significant digits."""
    shown = (
        formats.number(value)
        .replace("\N{MINUS SIGN}", "-")
        .replace("∞", "inf")
        .replace("\N{NARROW NO-BREAK SPACE}", "")
    )
    if value == value:
        assert float(shown) == pytest.approx(float(value), rel=1e-5) or abs(value) > 1e308


@given(st.text())
def test_shown_text_hides_nothing(value: str) -> None:
    """What is shown has no control, zero-width or direction-changing characters."""
    shown = formats.visible(value)
    assert not set(shown) & {*map(chr, range(32)), "\u202e", "\u200b", "\u2066", "\ufeff"}
    assert len(shown) == len(value.replace("\r\n", "\n"))  # one new line, as the test above has it


def test_the_critical_path_is_the_longest_wait() -> None:
    """From ingest over the split and the largest training to the summary."""
    run = parse_run(sealed("ok"))
    names = [run.by_id[t].name for t in critical_path(run)]
    assert names == ["ingest", "split_train_test", "train_model", "benchmark-model", "summary"]


def test_cycles_end() -> None:
    """A file whose links make a circle is drawn like any other."""
    run = parse_run(sealed("hostile"))
    assert fold(run) is not None
    assert len(critical_path(run)) <= len(run.tasks)
    assert in_layers([10, 10], [(0, 1), (1, 0)], 40).paths


@given(st.integers(1_000_000, 10**20))
def test_the_axis_has_round_and_different_ticks(span: int) -> None:
    """An axis of any length has one to nine ticks in order, each with a text of its own."""
    found = ticks(span)
    assert 1 <= len(found) <= 13
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert len({text for _, text in found}) == len(found)


def test_the_gantt_chart_tells_wait_from_run() -> None:
    """A queued attempt has a bar for the wait, one for the start-up and one for the run, in this order."""
    chart = gantt(parse_run(sealed("ok")), frozenset())
    assert chart is not None
    bars = max((row.bars for row in chart.rows), key=len)
    assert [bar.kind for bar in bars] == ["wait", "startup", "s-success"]
    assert bars[0].x + bars[0].width == pytest.approx(bars[1].x, abs=0.01)
    assert all(0 <= bar.x <= bar.x + bar.width <= 100 for row in chart.rows for bar in row.bars)


def test_skipped_tasks_are_in_the_chart() -> None:
    """A skipped task has a row of its own."""
    chart = gantt(parse_run(sealed("failed")), frozenset())
    assert chart is not None
    assert sum(row.note == "skipped" for row in chart.rows) == 5


def test_a_folded_row_shows_where_its_tasks_failed() -> None:
    """Failures of a folded group are marks on its row, which is not coloured as if still at work."""
    run = parse_run(wide(1000).sealed())
    first = run.tasks[0]
    broken = replace(first.attempts[0], result="failure")
    tasks = (replace(first, result="failure", attempts=(broken,)), *run.tasks[1:])
    chart = gantt(replace(run, tasks=tasks), frozenset())
    assert chart is not None
    assert {row.state for row in chart.rows} == {"success"}
    marks = {row.task.name: [bar.kind for bar in row.bars] for row in chart.rows}
    assert marks.pop(first.name) == ["s-failure"]
    assert not any(marks.values())


def test_sixty_tasks_are_drawn_and_a_thousand_folded() -> None:
    """A graph people can still read is drawn whole; a larger one by task."""
    assert len(fold(parse_run(wide(60).sealed())).nodes) == 60  # type: ignore[union-attr]
    assert len(fold(parse_run(wide(1000).sealed())).nodes) == 7  # type: ignore[union-attr]


@pytest.mark.parametrize("address", ["../up.html", "/etc/passwd", "a/../../b", ""])
def test_nothing_is_written_outside(tmp_path: Path, address: str) -> None:
    """An address that leads out of the site's folder is refused."""
    with pytest.raises(OutputError):
        Output(tmp_path / "site").write(address, b"x")


@given(st.binary(max_size=500))
def test_previews_survive_any_bytes(data: bytes) -> None:
    """A preview of any bytes is one, or none; it never raises."""
    for look in (
        previews.text,
        previews.json_tree,
        previews.parquet,
        lambda d: previews.delimited(d, ","),
    ):
        assert look(data) is None or look(data)


@pytest.mark.parametrize(
    ("text", "says"),
    [("- a", "should be a mapping"), ("tittle: x", "does not know"), ("metrics: accuracy", "should be a list"),
     ("budget_mb: lots", "number of megabytes"), ("repository: javascript:x", "start with https"),
     ("reports: [{title: x}]", "it should be like"), ("about: none.md", "cannot be read"), ("a: [", "not YAML")],
)  # fmt: skip
def test_bad_settings_are_told(tmp_path: Path, text: str, says: str) -> None:
    """A settings file with a mistake is refused with what is wrong and what is right."""
    path = tmp_path / "spanbook.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        settings.load(path)


def test_settings_are_read(tmp_path: Path) -> None:
    """Every setting of the documentation's example is read."""
    (tmp_path / "ABOUT.md").write_text("# Hello")
    path = tmp_path / "spanbook.yaml"
    path.write_text(
        "title: T\nabout: ABOUT.md\nmetrics: [a.b]\nreports:\n  - {title: Q, task: s}\n"
    )
    found = settings.load(path)
    assert (found.title, found.about, found.metrics) == ("T", "# Hello", ("a.b",))
    assert found.reports[0].slug == "q"


def test_golden_runs_are_as_the_tests_think() -> None:
    """The samples that these tests lean on have the shape that they lean on."""
    assert len(parse_run(golden.ok().sealed()).tasks) == 10


def test_every_setting_is_documented() -> None:
    """Each entry of spanbook.yaml is in docs/configuration.md, and the example there is valid."""
    text = Path(__file__).parents[4].joinpath("docs/configuration.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    raw = yaml.safe_load(example)
    assert set(raw) == {f.name for f in fields(settings.Settings)}
    assert set(raw["reports"][0]) == {f.name for f in fields(settings.Report)}
