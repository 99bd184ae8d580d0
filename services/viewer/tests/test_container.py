"""The real image, as compose runs it: read-only, without rights, as any user."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from spanbook_runfile import parse_run
from spanbook_runfile.samples import sealed
from support.images import RIGHTS, build_image


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for something; a test that waits in vain fails."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{done.__name__} did not come in {seconds} s"
        time.sleep(0.2)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("user", ["1000:1000", "12345:23456"])
def test_image_works_read_only_and_as_any_user(user: str, tmp_path: Path) -> None:
    """Healthy before the first site, serves it when it comes, imports, stops with 0."""
    from testcontainers.core.container import DockerContainer

    outputs = tmp_path / "outputs"
    (outputs / "runs").mkdir(parents=True)
    (outputs / "runs").chmod(0o777)
    container = (
        DockerContainer(build_image("viewer"))
        .with_exposed_ports(8080)
        .with_volume_mapping(str(outputs), "/pipeline-outputs", "rw")
        .with_kwargs(user=user, **RIGHTS)
    )
    with container:
        wrapped = container.get_wrapped_container()
        url = f"http://127.0.0.1:{container.get_exposed_port(8080)}"

        def healthy() -> bool:
            wrapped.reload()
            return bool(wrapped.attrs["State"]["Health"]["Status"] == "healthy")

        until(healthy, 60)
        browser = urllib.request.Request(url, headers={"Accept": "text/html"})
        with pytest.raises(urllib.error.HTTPError) as waiting:
            urllib.request.urlopen(browser, timeout=10)
        with waiting.value as answer:
            assert answer.code == 503
        (outputs / "site").mkdir()
        (outputs / "site" / "index.html").write_text("<h1>Runs</h1>")
        with urllib.request.urlopen(browser, timeout=10) as answer:
            assert answer.read() == b"<h1>Runs</h1>"
        upload = urllib.request.Request(f"{url}/import", data=sealed("ok"), method="POST")
        with urllib.request.urlopen(upload, timeout=30) as answer:
            assert answer.status == 201
            assert json.load(answer)["refused"] == []
        kept = outputs / "runs" / f"{parse_run(sealed('ok')).id}.json"
        assert kept.read_bytes() == sealed("ok")
        assert kept.stat().st_uid == int(user.partition(":")[0])
        wrapped.stop(timeout=25)
        wrapped.reload()
        assert wrapped.attrs["State"]["ExitCode"] == 0
