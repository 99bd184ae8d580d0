"""Beyond the files: of a long history the oldest runs keep small pages, and every address."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from spanbook_runfile import parse_run, trim
from spanbook_runfile.samples import golden
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.budget import Cut, cuts
from spanbook_site.build import Builder
from spanbook_site.record import Record
from spanbook_site.settings import Settings

PLAIN = Settings(mlflow_ui=False)
MOST = 100 << 20
EXPECTED = ("success", "0.25", "early-0")


def chatty(day: int) -> SampleRun:
    """A run that printed much and measured little."""
    run = SampleRun(f"chatty-{day}", pipeline="early", start=golden.START + day * golden.DAY)
    attempt = run.task(f"early-{day % 2}").attempt(0.0)
    for number in range(400):
        attempt.line(0.1, f"{day} line {number * 7919 % 1000} of what it told")
    attempt.metric(0.2, "loss", 0.25)
    attempt.artifact(0.3, "note.txt", b"note" * 5_000, "text/plain")
    attempt.end(1.0)
    run.finish()
    return run


def build(folder: Path, out: Path, budget_mb: int) -> dict[str, Record]:
    """Build with a budget; the records by run id."""
    builder = Builder(folder, out, settings=replace(PLAIN, budget_mb=budget_mb), jobs=1)
    builder.build()
    return builder.memo.runs


def contents(folder: Path) -> dict[str, bytes]:
    """Every published file."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and ".cache" not in p.parts
    }


@pytest.fixture
def runs(tmp_path: Path) -> list[SampleRun]:
    """Twenty chatty runs, the oldest first, as files."""
    made = [chatty(day) for day in range(20)]
    (tmp_path / "runs").mkdir()
    for run in made:
        (tmp_path / "runs" / f"{run.id}.json").write_bytes(run.sealed())
    return made


def test_the_oldest_become_stubs_and_no_page_is_lost(tmp_path: Path, runs: list[SampleRun]) -> None:
    """Over the budget with pages alone, the oldest keep small ones at every address, which say so."""
    whole, site = tmp_path / "whole", tmp_path / "site"
    build(tmp_path / "runs", whole, 800)
    records = build(tmp_path / "runs", site, 2)
    stubs = [records[run.id].stub for run in runs]
    assert stubs == sorted(stubs, reverse=True), "the oldest first"
    assert stubs[0]
    assert not stubs[-1]
    assert not records[runs[-1].id].trimmed, "the newest keeps its files, however long the history"
    pages = {name for name in contents(whole) if name.endswith("index.html")}
    assert pages <= contents(site).keys()
    oldest = parse_run(runs[0].sealed())
    (task,) = oldest.tasks
    page = (site / "runs" / oldest.id / "index.html").read_text()
    task_page = (site / "runs" / oldest.id / "tasks" / task.id / "index.html").read_text()
    assert 'id="trimmed"' in page
    assert 'id="trimmed"' in task_page
    assert len(page) < 2_600
    assert len(task_page) < 2_600
    assert "line 7" not in page + task_page
    assert "0.25" in task_page
    assert task.name in page
    home = (site / "index.html").read_text()
    assert all(run.id in home for run in runs)
    assert sum(map(len, contents(site).values())) < 2_000_000


def test_a_stub_is_the_same_from_whatever_is_left(tmp_path: Path, runs: list[SampleRun]) -> None:
    """A later site, built from what this one kept, is the same; a larger budget brings back only what is there."""
    first = tmp_path / "first"
    records = build(tmp_path / "runs", first, 2)
    later = tmp_path / "later"
    later.mkdir()
    for record in records.values():
        (later / Path(record.file).name).write_bytes((first / record.file).read_bytes())
    again = build(later, tmp_path / "again", 2)
    for key, record in records.items():
        if record.stub:
            folder = f"runs/{key}"
            assert contents(first / folder) == contents(tmp_path / "again" / folder)
    assert {k: r.stub for k, r in again.items()} == {k: r.stub for k, r in records.items()}
    # all is here still: with more room everything is back; with stubs alone there is nothing to render
    assert not any(r.stub for r in build(tmp_path / "runs", first, 800).values())
    kept = build(later, tmp_path / "again", 800)
    assert [r.stub for r in kept.values()] == [r.fixed for r in kept.values()]
    assert (
        Builder(later, tmp_path / "again", settings=replace(PLAIN, budget_mb=800)).build().rendered
        == 0
    )


def test_cold_or_warm_a_site_is_the_same(tmp_path: Path, runs: list[SampleRun]) -> None:
    """What is a stub depends on the runs and the budget, not on the builds before."""
    site = tmp_path / "site"
    for budget in (800, 2, 3):
        build(tmp_path / "runs", site, budget)
    build(tmp_path / "runs", tmp_path / "cold", 3)
    assert contents(site) == contents(tmp_path / "cold")


def test_a_stub_keeps_results_and_a_seal(runs: list[SampleRun]) -> None:
    """Results stay, what was printed goes; the digest and size are those of the whole file."""
    content = runs[0].sealed()
    packed = trim.stub(content)
    slim = trim.unpack(packed, MOST)
    assert trim.is_stub(slim)
    assert trim.is_whole(slim)
    assert trim.original_of(slim) == (trim.digest_of(content), len(content))
    assert trim.stub(trim.unpack(trim.trim(content), MOST)) == packed == trim.stub(slim)
    (before,), (after,) = parse_run(content).tasks, parse_run(slim).tasks
    assert (after.title, after.state, after.end) == (before.title, before.state, before.end)
    assert after.final.metrics == before.final.metrics  # type: ignore[union-attr]
    assert not after.final.logs  # type: ignore[union-attr]
    assert len(packed) < 2_000


@pytest.mark.parametrize("name", ["failed", "retried", "timed-out", "killed", "foreign"])
def test_every_kind_of_run_can_be_a_stub(tmp_path: Path, name: str) -> None:
    """Failures keep their reason, and no page is said to be broken."""
    from spanbook_runfile import samples

    content = samples.sealed(name)
    run = parse_run(trim.unpack(trim.stub(content), MOST))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{run.id}{trim.SUFFIX}").write_bytes(trim.stub(content))
    (record,) = build(tmp_path / "runs", tmp_path / "site", 800).values()
    assert (record.broken, record.stub, record.fixed) == ("", True, True)
    short = json.loads((tmp_path / "site/runs" / run.id / "summary.json").read_text())
    assert short["state"] == parse_run(content).state
    page = (tmp_path / "site/runs" / run.id / "index.html").read_text()
    assert not short["reason"] or 'class="notice bad"' in page


def test_the_order_of_going() -> None:
    """Files go before pages, but for a fifth of the budget, which is the newest runs' files."""
    runs = [
        Record(str(n), "", "", live=False, start=n, size=500_000, lean=100_000, slim=20_000)
        for n in range(100)
    ]
    everything = [Cut(trimmed=False, stub=False)] * 100
    assert [*cuts(runs, 100_000_000, 0).values()] == everything
    some = cuts(runs, 30_000_000, 0)
    assert not any(cut.stub for cut in some.values())
    assert sum(cut.trimmed for cut in some.values()) == 52
    few = cuts(runs, 10_000_000, 0)
    assert sum(cut.stub for cut in few.values()) == 35
    assert sum(not cut.trimmed for cut in few.values()) == 5
    live = [replace(run, live=True) for run in runs]
    assert [*cuts(live, 1, 0).values()] == everything
