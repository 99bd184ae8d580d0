"""System calls that fail in the real collector and its sealer: nothing acknowledged is lost."""

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

SHIM = Path(__file__).with_name("faults.c")


class Faults:
    """Calls that fail from now on, in every process that was started with :attr:`environ`."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._folder = folder
        self.environ = {"LD_PRELOAD": str(library), "FAULTS": str(folder)}

    def set(self, *calls: str, fault: int = errno.EIO) -> None:
        """Have these calls fail, and no others."""
        for path in self._folder.iterdir():
            path.unlink()
        for call in calls:
            (self._folder / call).write_text(str(fault))

    def set_clock(self, years: int) -> None:
        """Have the wall clock jump to so many years from now."""
        aside = self._folder.with_name("clock")
        aside.write_text(str(years * 365 * 86400))
        aside.replace(self._folder / "clock")


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The shim, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("failing system calls need Linux and a C compiler (such as gcc)")
    out = tmp_path_factory.mktemp("shim") / "faults.so"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", out, SHIM, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return out


@pytest.fixture
def faults(library, tmp_path) -> Faults:
    """No fault yet."""
    folder = tmp_path / "faults"
    folder.mkdir()
    return Faults(library, folder)


def _spans(sealed) -> list[str]:
    return [
        s["spanId"] for g in sealed["resourceSpans"] for sc in g["scopeSpans"] for s in sc["spans"]
    ]


def test_what_cannot_be_written_or_synced_is_refused_for_now(collector, otlp, faults) -> None:
    """Each failing call is UNAVAILABLE and 503; what was acknowledged outlives a kill, once."""
    running = collector("--idle=600", environ=faults.environ)
    run_id, acknowledged = otlp.id(), []

    def send(export: Callable[[str, bytes], object]) -> str:
        span = otlp.id(8)
        answer = export("traces", otlp.spans(run_id, ids=[span], filler=os.urandom(500).hex()))
        if getattr(answer, "status", 200) == 200:
            acknowledged.append(span)
        return getattr(answer, "status", "")

    faults.set("fsync-folder")  # of a journal that is new
    assert send(running.post) == 503
    faults.set()
    send(running.export)
    for calls in (["fdatasync"], ["pwritev"], ["fdatasync", "ftruncate"], ["pwritev", "ftruncate"]):
        for fault in (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT):
            faults.set(*calls, fault=fault)
            with pytest.raises(grpc.RpcError) as caught:
                send(running.export)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert os.strerror(fault) in caught.value.details()
            assert send(running.post) == 503
            faults.set()
            send(running.export)
    assert running.health()["write_failures"] >= 32
    running.kill()
    running.start()
    last = otlp.id(8)
    total = len(acknowledged) + 1
    running.export("traces", otlp.spans(run_id, ids=[last], declared=(total, 0, 0)))
    sealed = running.sealed(run_id)
    assert sorted(_spans(sealed)) == sorted([*acknowledged, last])
    assert sealed["spanbook"]["duplicates"] == 0


def test_a_seal_that_fails_is_tried_again(collector, otlp, until, faults) -> None:
    """Whichever call of a seal fails: no half file, the journal stays, and it is sealed later."""
    running = collector(environ=faults.environ)
    runs = []
    for call in ("write", "fsync", "rename", "fsync-folder", "unlink"):
        run_id = otlp.id()
        runs.append(run_id)
        running.export("traces", otlp.spans(run_id, 1))  # its journal is there before the fault
        failures = running.health()["seals"]["failures"]
        faults.set(call)
        running.export("traces", otlp.spans(run_id, 1, declared=(2, 0, 0)))
        if call == "unlink":  # which comes behind the seal
            until(lambda run_id=run_id: f"Run {run_id} is not sealed yet" in running.log, 20)
        else:
            until(lambda least=failures: running.health()["seals"]["failures"] > least, 20)
        assert running.run_file(run_id).exists() == (call in {"fsync-folder", "unlink"})
        assert (running.outputs / "journals" / f"{run_id}.journal").exists()
        faults.set()
    for run_id in runs:
        assert running.sealed(run_id, 60)["spanbook"]["complete"] is True
    until(lambda: not list(running.outputs.glob("journals/*.journal")), 60)
    assert not list(running.outputs.glob("runs/.*"))
    assert running.health()["late"] == []


def test_a_folder_that_is_gone_is_a_passing_fault(collector, otlp, until, tmp_path) -> None:
    """Without its folder for journals a new run is refused for now, and taken once it is back."""
    running = collector()
    journals = running.outputs / "journals"
    journals.rename(tmp_path / "away")
    reply = running.post("traces", otlp.spans(otlp.id()))
    assert (reply.status, int(reply.headers["Retry-After"]) > 0) == (503, True)
    (tmp_path / "away").rename(journals)
    run_id = otlp.id()
    whole = otlp.spans(run_id, 1, declared=(1, 0, 0))
    until(lambda: running.post("traces", whole).status == 200, 20)
    assert running.sealed(run_id)["spanbook"]["complete"] is True


def test_a_clock_that_jumps_seals_nothing(collector, otlp, until, faults) -> None:
    """Grace and idle go by a clock that does not jump; the seal's time is what the clock says."""
    running = collector("--idle=600", "--grace=600", environ=faults.environ)
    idle, ending = otlp.id(), otlp.id()
    running.export("traces", otlp.spans(idle))
    running.export("traces", otlp.spans(ending, declared=(2, 0, 0)))
    for years in (20, -30, 0):
        faults.set_clock(years)
        _seal_another(running, otlp, until)
        assert {r["run"] for r in running.health()["runs_in_progress"]} == {idle, ending}
    faults.set_clock(20)  # now both were last heard of twenty years ago
    running.kill()
    running.start()
    _seal_another(running, otlp, until)
    assert {r["run"] for r in running.health()["runs_in_progress"]} == {idle, ending}
    running.export("traces", otlp.spans(ending))
    sealed_at = datetime.fromisoformat(running.sealed(ending)["spanbook"]["sealedAt"])
    assert sealed_at > datetime.now(UTC) + timedelta(days=19 * 365)


def _seal_another(running, otlp, until) -> None:
    """See a run through, so that the collector has looked at all of them meanwhile."""
    run_id = otlp.id()
    looks = running.health()["uptime_seconds"] + 1
    running.export("traces", otlp.spans(run_id, declared=(1, 0, 0)))
    running.sealed(run_id)
    until(lambda: running.health()["uptime_seconds"] > looks, 20)


def test_a_clock_that_stands_does_not_keep_a_dead_run(collector, otlp, faults) -> None:
    """The idle limit ends a run also where the clock goes back all the while."""
    running = collector("--idle=1", environ=faults.environ)
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id))
    faults.set_clock(-40)
    assert running.sealed(run_id)["spanbook"]["reason"] == "idle"


def test_few_open_files_are_enough(collector, otlp, until) -> None:
    """With 64 of them many runs are taken and sealed, and connections beyond the share closed."""
    running = collector("--idle=1", "--log-level=warning", files=64)
    runs = [otlp.id() for _ in range(80)]
    for run_id in runs:
        running.export("traces", otlp.spans(run_id))
    with contextlib.ExitStack() as stack:
        host, port = running.http.removeprefix("http://").split(":")
        for _ in range(64):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
        for run_id in runs:
            running.sealed(run_id, 60)
    until(lambda: running.health()["status"] == "ok", 20)
    assert "ulimit -n" in running.log
