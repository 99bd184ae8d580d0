"""``spanbook.load``: the same frames from run files and from the site that was built of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import spanbook
from spanbook.errors import LoadError
from spanbook_runfile import trim
from spanbook_runfile.samples import SEALED, golden, sealed
from support.viewers import static_server, viewing

SITE_ONLY = ["main", "reason"]  # what the site's settings and words add
SAMPLES = ("ok", "failed", "retried", "timed-out", "interrupted", "empty")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outputs folder of a few runs, with its site."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "runs").mkdir()
    for name in SAMPLES:
        (folder / "runs" / f"{SEALED[name]().id}.json").write_bytes(sealed(name))
    builder = Path(sys.executable).with_name("spanbook-site")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SPANBOOK_")}
    command = [str(builder), "build", "--quiet", "--runs", "runs", "--out", "site", "--jobs", "1"]
    subprocess.run(command, cwd=folder, env=clean, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module", params=["folder", "viewer", "sub-path"])
def site(request: pytest.FixtureRequest, outputs: Path) -> Iterator[str]:
    """The site as a folder, on a viewer, and on a static server below a sub-path."""
    if request.param == "folder":
        yield str(outputs / "site")
    elif request.param == "viewer":
        with viewing(outputs / "site", outputs / "runs") as viewer:
            yield viewer.url
    else:
        with static_server(outputs) as url:
            yield f"{url}site/index.html"


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    keys = [key for key in ("run", "task", "key") if key in frame]
    return frame.sort_values(keys, na_position="first").reset_index(drop=True)


@pytest.mark.parametrize("table", ["runs", "tasks", "metrics", "parameters"])
def test_site_and_run_files_give_the_same_frames(site: str, outputs: Path, table: str) -> None:
    """A table of a site, wherever it is served, has the rows of the run files it was built of."""
    published, local = (_ordered(getattr(spanbook.load(s), table)) for s in (site, outputs))
    assert len(local)
    pd.testing.assert_frame_equal(published.drop(columns=SITE_ONLY, errors="ignore"), local)


def test_metrics_join_their_parameters(outputs: Path) -> None:
    """The question of the demo: which training size was best."""
    frames = spanbook.load(outputs / "runs")
    parameter = frames.parameters.query("key == 'nr_train_images'")[["run", "task", "number"]]
    score = frames.metrics.query("key == 'roc_auc_mean'")[["run", "task", "last"]]
    joined = score.merge(parameter, on=["run", "task"])
    assert joined.loc[joined["last"].idxmax(), "number"] == 600
    assert str(frames.runs["start"].dtype) == "datetime64[ms, UTC]"


def test_broken_file_is_left_out_and_told(tmp_path: Path) -> None:
    """A file that is no run file is warned of; the others are read."""
    run = golden.ok()
    (tmp_path / f"{run.id}.json").write_bytes(run.sealed())
    (tmp_path / f"{'0' * 31}1.json").write_text("{")
    with pytest.warns(UserWarning, match="00001.json is left out"):
        frames = spanbook.load(tmp_path)
    assert list(frames.runs["run"]) == [run.id]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    """A file that is no run file, or a folder of such only, gives no empty frames: it says why."""
    path = tmp_path / f"{'0' * 31}1.json"
    path.write_text("{")
    with pytest.raises(LoadError, match=r"00001.json cannot be read: .* is not JSON"):
        spanbook.load(path)
    path.with_name(f"{'0' * 31}2.json").write_text("")
    with (
        pytest.warns(UserWarning, match="00001.json is left out"),
        pytest.raises(LoadError, match="None of the 2 run files"),
    ):
        spanbook.load(tmp_path)


def test_a_frame_without_rows_has_its_types(tmp_path: Path) -> None:
    """What is a number is one where there is none, so that frames of runs can be joined."""
    run = SEALED["empty"]()
    (tmp_path / f"{run.id}.json").write_bytes(run.sealed())
    frames = spanbook.load(tmp_path)
    assert not len(frames.metrics)
    assert str(frames.metrics["last"].dtype) == str(frames.parameters["number"].dtype) == "float64"
    assert str(frames.metrics["points"].dtype) == str(frames.tasks["attempts"].dtype) == "int64"


def test_one_run_file_is_enough(tmp_path: Path) -> None:
    """A single file gives the frames of its run."""
    run = golden.ok()
    path = tmp_path / f"{run.id}.json"
    path.write_bytes(run.sealed())
    assert list(spanbook.load(str(path)).runs["run"]) == [run.id]


def test_trimmed_run_file_counts_as_well(tmp_path: Path) -> None:
    """What a site kept of an old run is read, and is not counted beside the whole file."""
    run = golden.ok()
    (tmp_path / f"{run.id}{trim.SUFFIX}").write_bytes(trim.trim(run.sealed()))
    trimmed = spanbook.load(tmp_path)
    (tmp_path / f"{run.id}.json").write_bytes(run.sealed())
    whole = spanbook.load(tmp_path)
    for name in ("runs", "tasks", "metrics", "parameters"):
        pd.testing.assert_frame_equal(getattr(trimmed, name), getattr(whole, name))


def test_wrong_place_says_what_to_give(tmp_path: Path, outputs: Path) -> None:
    """An empty folder, no folder, and a server without a site each say what was expected."""
    with pytest.raises(LoadError, match="holds no run file"):
        spanbook.load(tmp_path)
    with pytest.raises(LoadError, match="There is no"):
        spanbook.load(tmp_path / "nowhere")
    with (
        static_server(tmp_path) as url,
        pytest.raises(LoadError, match=r"runs\.parquet cannot be read"),
    ):
        spanbook.load(url)


def test_import_of_spanbook_stays_light() -> None:
    """``load`` brings pandas and pyarrow when it is called, not before."""
    code = "import sys, spanbook; print({'pandas', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
