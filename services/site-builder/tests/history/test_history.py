"""Beyond 90 days: several publishes, each on a fresh machine, as GitHub's artifacts come and go."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from spanbook_runfile import names, parse_run, trim
from spanbook_runfile.samples import golden
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.build import Builder
from spanbook_site.collect import GitHub, collect
from spanbook_site.collect.errors import GitHubError
from spanbook_site.collect.http import Patience
from spanbook_site.history.baseline import baseline
from spanbook_site.history.branch import pack, unpack
from spanbook_site.history.published import restore
from spanbook_site.history.restored import Restored
from spanbook_site.settings import Settings
from support.github import REPOSITORY, FakeArtifact, FakeGitHub, zipped
from support.pages import Pages

PLAIN = Settings(mlflow_ui=False)


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    """Where the newest site is published; nothing yet."""
    with Pages(tmp_path / "nothing") as running:
        yield running


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A GitHub without artifacts."""
    with FakeGitHub() as running:
        yield running


def run_of(day: int, payload: int = 0) -> SampleRun:
    """The run of a day; with a file of so many bytes."""
    if not payload:
        return golden.ok(f"day-{day}", start=golden.START + day * golden.DAY)
    run = SampleRun(f"day-{day}", pipeline="mnist-digits", start=golden.START + day * golden.DAY)
    attempt = run.task("blob").attempt(0.0)
    content = b"".join(bytes([(n * n * 31 + day) % 251]) for n in range(1000)) * (payload // 1000)
    attempt.artifact(0.1, "blob.bin", content, "application/octet-stream")
    attempt.metric(0.2, "loss", 1 / day)
    attempt.end(1.0)
    run.finish()
    return run


def artifact(run: SampleRun, number: int, **more: object) -> FakeArtifact:
    """A run's artifact, as GitHub lists that of an honest main run."""
    says = parse_run(run.sealed()).context
    told = {
        "sha": says(names.REF_REVISION),
        "run": int(says(names.PIPELINE_RUN_URL).split("/")[-1] or 0),
    }
    return FakeArtifact(
        number, f"spanbook-run-{number}", zipped(run__json=run.sealed()), **{**told, **more}
    )


def patience() -> Patience:
    """Waits for nothing."""
    return Patience(900, lambda _: None)


def publish(
    machine: Path, github: FakeGitHub, pages: Pages, settings: Settings = PLAIN
) -> tuple[Path, Restored]:
    """One publish on a fresh machine: restore, collect, build, and put the site in place."""
    restored = restore(pages.url, machine / "runs", patience=patience())
    client = GitHub(REPOSITORY, "secret", api=github.api, sleep=lambda _: None)
    collect(client, machine / "runs", prefix="spanbook-run-", most_artifacts=1000)
    site = machine / "site"
    Builder(machine / "runs", site, settings=settings, jobs=1).build()
    pages.site = site
    return site, restored


def content(site: Path) -> dict[str, bytes]:
    """Every published file; dot files are not."""
    files = (p for p in site.rglob("*") if p.is_file())
    found = {p.relative_to(site).as_posix(): p.read_bytes() for p in files}
    return {name: data for name, data in found.items() if not name.startswith(".")}


def size(site: Path) -> int:
    """Bytes that are published."""
    return sum(map(len, content(site).values()))


def test_a_run_outlives_its_artifact(tmp_path: Path, github: FakeGitHub, pages: Pages) -> None:
    """Day 1 is published; on day 100 its artifact is gone, and page, run file and origin are there."""
    first, later = run_of(1), run_of(100)
    github.artifacts = [artifact(first, 1)]
    day_1, _ = publish(tmp_path / "day-1", github, pages)
    github.artifacts = [artifact(later, 2)]
    day_100, restored = publish(tmp_path / "day-100", github, pages)
    assert (restored.came, restored.lost) == (1, [])
    before, after = content(day_1), content(day_100)
    mine = [name for name in before if first.id in name]
    assert len(mine) > 5
    assert [name for name in mine if before[name] != after.get(name)] == []
    home = after["index.html"].decode()
    assert "could not be read" not in home
    assert first.id in home
    assert later.id in home
    ledger = json.loads((tmp_path / "day-100/runs/origins.json").read_bytes())
    assert ledger["runs"][first.id]["artifact"] == 1
    assert set(ledger["done"]) == {"2"}, "what GitHub lists no more is forgotten"


def test_what_was_published_is_not_downloaded_again(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """A fresh machine takes from the site what it holds, and asks GitHub for the rest only."""
    github.artifacts = [artifact(run_of(1), 1)]
    publish(tmp_path / "one", github, pages)
    github.artifacts.insert(0, artifact(run_of(2), 2))
    publish(tmp_path / "two", github, pages)
    assert github.downloads == 2


def test_publishing_is_deterministic(tmp_path: Path, github: FakeGitHub, pages: Pages) -> None:
    """The same published site and artifacts give the same bytes on another machine."""
    github.artifacts = [artifact(run_of(n), n) for n in (3, 2, 1)]
    first, _ = publish(tmp_path / "one", github, pages)
    second, _ = publish(tmp_path / "two", github, pages)
    assert content(second) == content(first)


def test_the_budget_trims_the_oldest_and_breaks_no_permalink(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """Over the budget old runs lose their files visibly; their pages stay, over many publishes."""
    runs = [run_of(day, payload=600_000) for day in range(1, 6)]
    tight = replace(PLAIN, budget_mb=4)
    addresses: set[str] = set()
    for number, run in enumerate(runs, start=1):
        github.artifacts = [artifact(run, number)]  # each is gone by the next publish
        site, restored = publish(tmp_path / f"publish-{number}", github, pages, tight)
        assert restored.lost == []
        names = set(content(site))
        assert {a for a in addresses if a.endswith("index.html")} <= names
        addresses |= names
        assert size(site) <= 4_000_000
    assert "no files any more: the site keeps to 4 MB" in (site / "index.html").read_text()
    oldest, newest = (site / "runs" / run.id for run in (runs[0], runs[-1]))
    page = (oldest / "index.html").read_text()
    assert 'id="trimmed"' in page
    assert "4 MB" in page
    assert (oldest / f"{runs[0].id}{trim.SUFFIX}").exists()
    assert not (oldest / f"{runs[0].id}.json").exists()
    assert (newest / f"{runs[-1].id}.json").read_bytes() == runs[-1].sealed()
    summary = orjson.loads((oldest / "summary.json").read_bytes())
    assert summary["trimmed"] is True
    assert summary["tasks"][0]["metrics"]["loss"][0] == 1.0
    again, _ = publish(tmp_path / "again", github, pages, tight)
    assert content(again) == content(site)


def test_a_site_that_cannot_be_reached_stops_the_publish(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """Nothing is published without its history because of a fault that passes; a short one is sat out."""
    github.artifacts = [artifact(run_of(1), 1)]
    publish(tmp_path / "one", github, pages)
    pages.faults = [503] * 100
    with pytest.raises(GitHubError, match="503"):
        restore(pages.url, tmp_path / "two", patience=patience())
    pages.faults = [503, 500]
    assert restore(pages.url, tmp_path / "two", patience=patience()).came == 1


def test_restoring_goes_on_where_it_broke_off(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """What came before a break is not fetched again."""
    runs = [run_of(day) for day in range(1, 5)]
    github.artifacts = [artifact(run, n) for n, run in enumerate(runs, start=1)]
    publish(tmp_path / "one", github, pages)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / f"{runs[0].id}.json").write_bytes(runs[0].sealed())
    pages.asked.clear()
    report = restore(pages.url, tmp_path / "two", patience=patience())
    assert (report.came, report.known) == (3, 1)
    assert not [path for path in pages.asked if runs[0].id in path]


def test_a_file_that_is_not_as_listed_is_lost_alone(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """A file that was changed, or is gone, is told; the others come."""
    runs = [run_of(day) for day in range(1, 4)]
    github.artifacts = [artifact(run, n) for n, run in enumerate(runs, start=1)]
    site, _ = publish(tmp_path / "one", github, pages)
    changed = site / "runs" / runs[0].id / f"{runs[0].id}.json"
    data = changed.read_bytes().replace(b"success", b"failure", 1)
    changed.unlink()
    changed.write_bytes(data)
    (site / "runs" / runs[1].id / f"{runs[1].id}.json").unlink()
    report = restore(pages.url, tmp_path / "two", patience=patience())
    assert report.came == 1
    why = dict(report.lost)
    assert "digest" in why[runs[0].id]
    assert "no more" in why[runs[1].id]
    assert not (tmp_path / "two" / f"{runs[0].id}.json").exists()


def test_nothing_published_yet_is_no_fault(tmp_path: Path, pages: Pages) -> None:
    """The first publish has no history."""
    report = restore(pages.url, tmp_path / "runs", patience=patience())
    assert (report.came, report.lost) == (0, [])
    assert "nothing is published there yet" in report.source


def test_another_site_at_that_address_is_told(tmp_path: Path, pages: Pages) -> None:
    """A page that is no history stops the publish with what to do."""
    (tmp_path / "other/data").mkdir(parents=True)
    (tmp_path / "other/data/history.json").write_text("<html>hello</html>")
    pages.site = tmp_path / "other"
    with pytest.raises(GitHubError, match="history: artifacts"):
        restore(pages.url, tmp_path / "runs", patience=patience())


def test_the_label_of_an_untrusted_run_is_carried_on(
    tmp_path: Path, github: FakeGitHub, pages: Pages
) -> None:
    """A run whose word GitHub contradicted stays apart when its artifact is gone."""
    run = run_of(1)
    github.artifacts = [artifact(run, 1, branch="feature")]
    publish(tmp_path / "one", github, pages)
    github.artifacts = [artifact(run_of(2), 2)]
    site, _ = publish(tmp_path / "two", github, pages)
    page = (site / "runs" / run.id / "index.html").read_text()
    assert "feature" in page
    listed = orjson.loads((site / "data/history.json").read_bytes())["runs"]
    assert listed[run.id]["main"] is False


def test_a_data_branch_holds_every_run(tmp_path: Path) -> None:
    """Run files are packed, unpacked elsewhere to the same bytes, and never packed twice."""
    runs = tmp_path / "runs"
    runs.mkdir()
    whole, old = run_of(2), run_of(1, payload=50_000)
    (runs / f"{whole.id}.json").write_bytes(whole.sealed())
    (runs / f"{old.id}{trim.SUFFIX}").write_bytes(trim.trim(old.sealed()))
    (runs / "notes.json").write_text("{}")
    branch = tmp_path / "branch"
    assert pack(runs, branch) == 2
    assert pack(runs, branch) == 0
    held = {p.name for p in branch.rglob("*.gz")}
    assert held == {f"{whole.id}.json.gz", f"{old.id}{trim.SUFFIX}"}
    report = unpack(branch, tmp_path / "elsewhere")
    assert (report.came, report.lost) == (2, [])
    assert (tmp_path / "elsewhere" / f"{whole.id}.json").read_bytes() == whole.sealed()
    assert unpack(branch, tmp_path / "elsewhere").known == 2


def test_a_data_branchs_bad_files_are_told(tmp_path: Path) -> None:
    """A file that is no gzip, or another run's, is lost alone."""
    runs = tmp_path / "runs"
    runs.mkdir()
    run = run_of(1)
    (runs / f"{run.id}.json").write_bytes(run.sealed())
    branch = tmp_path / "branch"
    pack(runs, branch)
    (packed,) = branch.rglob("*.json.gz")
    other = branch / "runs/ff" / f"{'f' * 32}.json.gz"
    other.parent.mkdir()
    other.write_bytes(packed.read_bytes())
    (branch / "runs/ff" / f"{'e' * 32}.json.gz").write_bytes(b"junk")
    report = unpack(branch, tmp_path / "elsewhere")
    assert report.came == 1
    assert {run_id for run_id, _ in report.lost} == {"f" * 32, "e" * 32}


@pytest.mark.parametrize("published", [True, False])
def test_a_run_is_compared_with_the_newest_main_run(
    tmp_path: Path, github: FakeGitHub, pages: Pages, *, published: bool
) -> None:
    """From the published site, else from artifacts: the newest main run of the pipeline, not a branch's."""
    older, newest, other, mine = (run_of(day) for day in (1, 2, 3, 4))
    github.artifacts = [
        artifact(other, 3, branch="feature"),
        artifact(newest, 2),
        artifact(older, 1),
    ]
    if published:
        publish(tmp_path / "one", github, pages)
        github.artifacts = []
    client = GitHub(REPOSITORY, "secret", api=github.api, sleep=lambda _: None)
    found = baseline(
        client,
        pages.url,
        parse_run(mine.sealed()),
        tmp_path / "baseline",
        prefix="spanbook-run-",
        main=["main"],
    )
    assert found is not None
    assert found.name == f"{newest.id}.json"
    assert found.read_bytes() == newest.sealed()
