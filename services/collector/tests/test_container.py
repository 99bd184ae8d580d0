"""The real image, as compose runs it: read-only, without rights, as any user."""

import json
import urllib.request

import pytest
from support.images import RIGHTS, build_image


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("user", ["1000:1000", "12345:23456"])
def test_the_image_works_read_only_and_as_any_user(user, tmp_path, until, otlp) -> None:
    """Healthy, seals a run that is owned by the user, stops with 0 on SIGTERM."""
    from testcontainers.core.container import DockerContainer

    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(0o777)
    container = (
        DockerContainer(build_image("collector"))
        .with_command("--host 0.0.0.0")
        .with_exposed_ports(4318)
        .with_volume_mapping(str(outputs), "/pipeline-outputs", "rw")
        .with_kwargs(user=user, **RIGHTS)
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
