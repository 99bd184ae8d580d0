"""The real image, as compose runs it: read-only, without rights or network, as any user."""

import time
from pathlib import Path

import pytest
from spanbook_runfile import parse_run
from spanbook_runfile.samples import sealed, write_samples
from support.images import RIGHTS, build_image

MINUTE = 60


def until_there(path: Path, seconds: float = MINUTE) -> str:
    """The text of a file that is awaited."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come in {seconds} s"
        time.sleep(0.2)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An outputs folder that anyone may write to."""
    folder = tmp_path / "outputs"
    for name in ("runs", "journals"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o777)
    return folder


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("user", ["1000:1000", "12345:23456"])
def test_image_watches_read_only_and_as_any_user(user: str, outputs: Path) -> None:
    """It builds what is there, adds the run that comes, and stops with 0 on SIGTERM."""
    from testcontainers.core.container import DockerContainer

    container = (
        DockerContainer(build_image("site-builder"))
        .with_volume_mapping(str(outputs), "/pipeline-outputs", "rw")
        .with_kwargs(user=user, network_mode="none", **RIGHTS)
        .with_tmpfs_mount("/tmp")
    )
    with container:
        wrapped = container.get_wrapped_container()
        until_there(outputs / "site" / "index.html")
        content = sealed("ok")
        run = parse_run(content)
        aside = outputs / "runs" / ".aside"
        aside.write_bytes(content)
        aside.rename(outputs / "runs" / f"{run.id}.json")
        page = outputs / "site" / "runs" / run.id / "index.html"
        assert run.pipeline in until_there(page)
        assert page.stat().st_uid == int(user.partition(":")[0])
        for built_in in ("uPlot.iife.min.js", "mlflow/index.html"):
            assert list(outputs.glob(f"site/**/{built_in}*")), f"the image lacks {built_in}"
        wrapped.stop(timeout=25)
        wrapped.reload()
        assert wrapped.attrs["State"]["ExitCode"] == 0


@pytest.mark.docker
@pytest.mark.slow
def test_image_builds_once_and_says_what_it_did(outputs: Path) -> None:
    """``build`` without ``--watch`` ends with 0, though two of the run files are broken."""
    from testcontainers.core.container import DockerContainer

    files = write_samples(outputs)
    container = (
        DockerContainer(build_image("site-builder"))
        .with_command("build")
        .with_volume_mapping(str(outputs), "/pipeline-outputs", "rw")
        .with_kwargs(user="1000:1000", network_mode="none", **RIGHTS)
        .with_tmpfs_mount("/tmp")
    )
    with container:
        wrapped = container.get_wrapped_container()
        ended = wrapped.wait(timeout=2 * MINUTE)
        said = wrapped.logs().decode()
    assert ended["StatusCode"] == 0, said
    home = (outputs / "site" / "index.html").read_text(encoding="utf-8")
    assert files["ok"].stem in home
