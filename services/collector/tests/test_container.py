"""The real image, as compose runs it: read-only, without rights, as any user."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
IMAGE = "spanbook-collector:test"


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built from this tree."""
    docker = pytest.importorskip("docker")
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        if os.environ.get("SPANBOOK_REQUIRE_DOCKER"):
            pytest.fail(f"Container tests are required, and no Docker engine answers: {error}")
        pytest.skip("No Docker engine answers: start one to run the container tests")
    command = [
        "docker",
        "build",
        "--quiet",
        "-f",
        "services/collector/Dockerfile",
        "-t",
        IMAGE,
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    return IMAGE


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("user", ["1000:1000", "12345:23456"])
def test_the_image_works_read_only_and_as_any_user(image, user, tmp_path, until, otlp) -> None:
    """Healthy, seals a run that is owned by the user, stops with 0 on SIGTERM."""
    from testcontainers.core.container import DockerContainer

    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(0o777)
    container = (
        DockerContainer(image)
        .with_command("--host 0.0.0.0")
        .with_exposed_ports(4318)
        .with_volume_mapping(str(outputs), "/pipeline-outputs", "rw")
        .with_kwargs(
            read_only=True, user=user, cap_drop=["ALL"], security_opt=["no-new-privileges:true"]
        )
    )
    with container:
        wrapped = container.get_wrapped_container()
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(4318)}"

        def healthy() -> bool:
            wrapped.reload()
            return wrapped.attrs["State"]["Health"]["Status"] == "healthy"

        until(healthy, 60)
        run_id = otlp.id()
        request = urllib.request.Request(
            f"{url}/v1/traces",
            data=otlp.spans(run_id, 1, declared=(1, 0, 0)),
            headers={"Content-Type": "application/x-protobuf"},
        )
        urllib.request.urlopen(request, timeout=30).close()
        path = outputs / "runs" / f"{run_id}.json"
        until(path.exists, 30)
        assert json.loads(path.read_bytes())["spanbook"]["complete"] is True
        assert path.stat().st_uid == int(user.split(":")[0])
        wrapped.stop(timeout=25)
        wrapped.reload()
        assert wrapped.attrs["State"]["ExitCode"] == 0
