"""The real image, as compose runs it: read-only, without rights, as any user."""

import textwrap
from pathlib import Path

import pytest
from spanbook_runfile import Run, read_journal
from spanbook_runfile.names import Result
from support.images import RIGHTS, build_image
from support.processes import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PIPELINE = """
import os, time
from spanbook import log, pipeline, task

@task
def act(what: str) -> str:
    print("as user", os.getuid())
    if what == "fail":
        raise ValueError("asked for")
    if what == "sleep":
        time.sleep(600)
    import matplotlib.pyplot as plt
    log.figure("empty.png", plt.figure())
    return what

@pipeline
def small(what: str = "work"):
    act(what)
"""


class Image:
    """The runner's image, and a folder for a pipeline and its outputs."""

    def __init__(self, folder: Path) -> None:
        self.outputs = folder / "outputs"
        self.pipeline = folder / "pipeline.py"
        self.pipeline.write_text(textwrap.dedent(PIPELINE))
        self.outputs.mkdir()
        self.outputs.chmod(0o777)
        folder.chmod(0o755)
        folder.parent.chmod(0o755)

    def start(self, *words: str, user: str = "1000:1000"):
        """Start ``spanbook …`` in a container; no collector answers, so the spool keeps the records."""
        from testcontainers.core.container import DockerContainer

        return (
            DockerContainer(build_image("runner"))
            .with_command(list(words))
            .with_volume_mapping(str(self.outputs), "/pipeline-outputs", "rw")
            .with_volume_mapping(str(self.pipeline), "/project/pipeline.py", "ro")
            .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .with_env("SPANBOOK_EXPORT_WAIT", "0.1")
            .with_tmpfs_mount("/tmp", "size=1g,mode=1777")
            .with_kwargs(
                user=user,
                shm_size="512m",
                network_mode="none",
                init=True,
                **RIGHTS,
            )
        )

    def run(self, *words: str, user: str = "1000:1000") -> tuple[int, str]:
        """Run ``spanbook …``; its exit code and what it printed."""
        with self.start(*words, user=user) as container:
            wrapped = container.get_wrapped_container()
            code = wrapped.wait(timeout=240)["StatusCode"]
            return code, wrapped.logs().decode()

    def recorded(self) -> Run:
        """The run on the spool; there must be one only."""
        (spool,) = self.outputs.glob("spool/*.journal")
        return read_journal(spool, spool.stem)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The image with a folder of its own."""
    return Image(tmp_path)


@pytest.mark.parametrize(
    ("what", "code", "result"), [("work", 0, "success"), ("fail", 1, "failure")]
)
def test_a_run_as_any_user(image, what, code, result):
    """A read-only root, no rights, a user that no passwd file knows: it runs, and owns what it wrote."""
    found, told = image.run(
        "run", "/project/pipeline.py", "--param", f"what={what}", user="12345:23456"
    )
    assert found == code, told
    run = image.recorded()
    assert run.result == result
    (task,) = run.tasks
    assert next(line.text for line in task.final.logs) == "as user 12345"
    (spool,) = image.outputs.glob("spool/*.journal")
    assert (spool.stat().st_uid, spool.stat().st_gid) == (12345, 23456)
    assert "Traceback" not in told.replace("Traceback (most recent call last)", "", int(code))


def test_help_and_wrong_usage(image):
    """``--help`` is 0, what is not there is 2, and the image says so without starting Ray."""
    code, told = image.run("run", "/project/pipeline.py", "--help")
    assert code == 0
    assert "what=" in told or "what " in told
    code, told = image.run("run", "/project/nowhere.py")
    assert code == 2
    assert "nowhere.py" in told


def test_docker_stop_cancels(image):
    """SIGTERM stops the task, records cancellation, and all is on disk before the container ends."""
    with image.start("run", "/project/pipeline.py", "--param", "what=sleep") as container:
        wrapped = container.get_wrapped_container()

        def began() -> bool:
            wrapped.reload()
            assert wrapped.status != "exited", wrapped.logs().decode()
            return any(b"as user" in p.read_bytes() for p in image.outputs.glob("spool/*.journal"))

        wait_for(began, 200, "the task's first line")
        wrapped.stop(timeout=60)
        wrapped.reload()
        assert wrapped.attrs["State"]["ExitCode"] == 1
        assert wrapped.attrs["State"]["OOMKilled"] is False
    run = image.recorded()
    assert run.result is Result.CANCELLATION
    (task,) = run.tasks
    assert task.result is Result.CANCELLATION
