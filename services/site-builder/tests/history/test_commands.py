"""``spanbook-site restore``, ``keep``, ``baseline`` and ``build --budget-mb``, as scripts call them."""

from pathlib import Path

import orjson
import pytest
from spanbook_runfile import trim
from spanbook_runfile.samples import golden
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.cli import main


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of this test alone."""
    path = tmp_path / "spanbook.yaml"
    path.write_text("mlflow_ui: false\n")
    monkeypatch.setenv("SPANBOOK_SETTINGS", str(path))
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one run file."""
    folder = tmp_path / "runs"
    folder.mkdir()
    run = golden.ok()
    (folder / f"{run.id}.json").write_bytes(run.sealed())
    return folder


def with_a_large_file(runs: Path) -> str:
    """Write a run file that no budget of a megabyte holds; its run id."""
    run = SampleRun("blob", pipeline="mnist-digits", start=golden.START)
    attempt = run.task("blob").attempt(0.0)
    attempt.artifact(0.1, "blob.bin", bytes(range(256)) * 5000, "application/octet-stream")
    attempt.end(1.0)
    run.finish()
    (runs / f"{run.id}.json").write_bytes(run.sealed())
    return run.id


@pytest.mark.parametrize("mode", ["pages", "branch", "artifacts"])
def test_the_mode_is_the_settings(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """``restore --mode`` says where earlier runs are, for the script that must know before."""
    settings.write_text(f"history: {mode}\n")
    assert main(["restore", "--mode", "--into", str(tmp_path / "into")]) == 0
    assert capsys.readouterr().out == f"{mode}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["restore", "--into", "x"], "--site URL or --repo"),
        (["restore", "--into", "x", "--history", "branch"], "needs --branch"),
        (["restore", "--into", "x", "--repo", "nonsense"], "OWNER/NAME"),
        (["collect", "--into", "x"], "--repo OWNER/NAME, or --zips"),
        (["collect", "--into", "x", "--zips", "nowhere"], "no folder of zips"),
        (["baseline", "nowhere.json", "--into", "x", "--repo", "a/b"], "cannot be read"),
        (["baseline", "nowhere.json", "--into", "x"], "--repo OWNER/NAME"),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    """Exit 1, and a line that says what to give."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert told in capsys.readouterr().err


def test_a_bad_history_is_told(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is none of the three names the three."""
    settings.write_text("history: forever\n")
    assert main(["restore", "--mode", "--into", str(tmp_path)]) == 1
    assert "pages, branch, artifacts" in capsys.readouterr().err


def test_keep_and_restore(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ``keep`` packs, ``restore --history branch`` brings back."""
    branch, back = tmp_path / "branch", tmp_path / "back"
    assert main(["keep", "--runs", str(runs), "--branch", str(branch)]) == 0
    assert "1 run file added" in capsys.readouterr().out
    given = ["restore", "--history", "branch", "--branch", str(branch), "--into", str(back)]
    assert main(given) == 0
    assert "1 earlier run from the data branch" in capsys.readouterr().out
    (came,) = back.glob(f"{golden.ok().id}.json")
    assert came.read_bytes() == (runs / came.name).read_bytes()


def test_a_budget_can_be_given(runs: Path, tmp_path: Path) -> None:
    """``build --budget-mb`` comes before the settings; what does not fit is trimmed."""
    site = tmp_path / "site"
    run = with_a_large_file(runs)
    given = ["build", "--runs", str(runs), "--out", str(site), "--quiet", "--jobs", "1"]
    assert main([*given, "--budget-mb", "1"]) == 0
    listed = orjson.loads((site / "data/history.json").read_bytes())["runs"][run]
    assert listed["trimmed"] is True
    assert (site / listed["file"]).name == f"{run}{trim.SUFFIX}"
    assert main(given) == 0
    listed = orjson.loads((site / "data/history.json").read_bytes())["runs"][run]
    assert (listed["trimmed"], Path(listed["file"]).name) == (False, f"{run}.json")
