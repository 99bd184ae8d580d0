"""Acknowledged means on disk: what crashes, full disks and failing system calls may not change."""

import asyncio
import errno
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from spanbook_collector.disk import Disk
from spanbook_collector.journals import Committer, Journal
from spanbook_runfile.journal import MAGIC, Signal, frame, read_frames

IS_ROOT = os.geteuid() == 0
KILLED_AT_ONCE = 4


def _spans(sealed) -> list[str]:
    return [
        s["spanId"] for g in sealed["resourceSpans"] for sc in g["scopeSpans"] for s in sc["spans"]
    ]


class FaultyDisk(Disk):
    """A disk whose calls fail as ``faults`` says: call name → errors for its next calls."""

    def __init__(self) -> None:
        self.faults: dict[str, list[int]] = {}
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.faults.get(name):
            number = self.faults[name].pop(0)
            raise OSError(number, os.strerror(number))

    def write(self, handle, parts, offset) -> None:
        """Write a part of it, then fail, as a full disk does."""
        if self.faults.get("write"):
            super().write(handle, [b"".join(parts)[: sum(map(len, parts)) // 2]], offset)
        self._call("write")
        super().write(handle, parts, offset)

    def sync(self, handle) -> None:
        """Sync, or fail."""
        self._call("sync")
        super().sync(handle)

    def sync_folder(self, folder) -> None:
        """Sync the folder, or fail."""
        self._call("sync_folder")
        super().sync_folder(folder)

    def truncate(self, handle, length) -> None:
        """Truncate, or fail."""
        self._call("truncate")
        super().truncate(handle, length)

    def open(self, path) -> int:
        """Open, or fail."""
        self._call("open")
        return super().open(path)


def _payloads(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return [payload for _, payload, _ in read_frames(stream)]


@pytest.mark.parametrize("call", ["open", "write", "sync", "sync_folder", "truncate"])
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_call_fails_the_append_and_the_next_one_mends_it(tmp_path, call, fault) -> None:
    """After a failed call nothing of the append is left, and the retry writes it once."""
    disk = FaultyDisk()

    async def story() -> None:
        committer = Committer(disk)
        journal = Journal(tmp_path / "a.journal", disk)
        if call != "sync_folder":  # which is called for a new file only
            await committer.append([(journal, Signal.TRACES, b"first")])
        else:
            disk.faults["sync_folder"] = [fault]
        if call == "open":
            journal.close()
        if call == "truncate":
            disk.faults = {"sync": [fault], "truncate": [fault]}
        else:
            disk.faults.setdefault(call, [fault])
        with pytest.raises(OSError, match=os.strerror(fault)):
            await committer.append([(journal, Signal.TRACES, b"second")])
        await committer.append([(journal, Signal.TRACES, b"second")])
        await committer.append([(journal, Signal.TRACES, b"third")])
        committer.close()

    asyncio.run(story())
    expected = [b"second", b"third"] if call == "sync_folder" else [b"first", b"second", b"third"]
    assert _payloads(tmp_path / "a.journal") == expected


def test_requests_that_wait_share_one_fsync(tmp_path) -> None:
    """A hundred requests at once take a round or two, not a hundred."""
    disk = FaultyDisk()

    async def story() -> None:
        committer = Committer(disk)
        journals = [Journal(tmp_path / f"{n}.journal", disk) for n in range(2)]
        await asyncio.gather(
            *(committer.append([(journals[n % 2], Signal.LOGS, b"%d" % n)]) for n in range(100))
        )
        assert committer.rounds <= 3
        committer.close()

    asyncio.run(story())
    assert disk.calls.count("sync") <= 6
    assert sorted(map(int, _payloads(tmp_path / "0.journal"))) == list(range(0, 100, 2))


def test_only_the_failing_journals_requests_fail(tmp_path) -> None:
    """One journal's fault is no other run's fault, though both share a round."""
    disk = Disk()
    (tmp_path / "bad.journal").mkdir()

    async def story() -> list[BaseException | None]:
        committer = Committer(disk)
        bad, good = (
            Journal(tmp_path / "bad.journal", disk),
            Journal(tmp_path / "good.journal", disk),
        )
        results = await asyncio.gather(
            *(committer.append([(j, Signal.LOGS, b"x")]) for j in (bad, good)),
            return_exceptions=True,
        )
        committer.close()
        return results

    failed, fine = asyncio.run(story())
    assert isinstance(failed, OSError)
    assert fine is None


def test_the_same_frame_again_is_not_written_again(tmp_path) -> None:
    """A retry is known by its bytes, not by its checksum alone."""
    disk = Disk()

    async def story() -> None:
        committer = Committer(disk)
        journal = Journal(tmp_path / "a.journal", disk)
        for payload in (b"one", b"one", b"two", b"one"):
            await committer.append([(journal, Signal.LOGS, payload)])
        journal.remember(frame(Signal.LOGS, b"forged")[:9], len(MAGIC))
        await committer.append([(journal, Signal.LOGS, b"forged")])
        committer.close()

    asyncio.run(story())
    assert _payloads(tmp_path / "a.journal") == [b"one", b"two", b"forged"]


def test_start_up_cuts_a_torn_tail_and_says_so(collector, otlp) -> None:
    """Whole frames are taken up, half a one is cut off, an empty journal removed, and told."""
    running = collector()
    run_id, ids = otlp.id(), [otlp.id(8) for _ in range(2)]
    running.export("traces", otlp.spans(run_id, ids=ids[:1]))
    running.kill()
    journals = running.outputs / "journals"
    whole = (journals / f"{run_id}.journal").stat().st_size
    with (journals / f"{run_id}.journal").open("ab") as stream:
        stream.write(frame(Signal.TRACES, b"never acknowledged")[:-3])
    (journals / f"{otlp.id()}.journal").write_bytes(MAGIC[:7])
    running.start()
    assert (journals / f"{run_id}.journal").stat().st_size == whole
    assert "torn" in running.log
    assert len(list(journals.glob("*.journal"))) == 1
    running.export("traces", otlp.spans(run_id, ids=ids[1:], declared=(2, 0, 0)))
    assert sorted(_spans(running.sealed(run_id))) == sorted(ids)


def test_start_up_leaves_alone_what_is_not_its_own(collector, otlp) -> None:
    """Foreign files, folders, pipes and odd names among the journals stay; a block of zeros goes."""
    running = collector()
    assert running.stop() == 0
    journals, late = running.outputs / "journals", running.outputs / "late"
    run_id = otlp.id()
    (journals / "notes.txt").write_text("mine")
    (journals / f"{run_id}.journal").mkdir()
    os.mkfifo(journals / f"{otlp.id()}.journal")
    (journals / f"{run_id}-copy.journal").write_bytes(MAGIC + frame(Signal.TRACES, b""))
    (late / f"{run_id}.123.journal").write_bytes(MAGIC)
    mine = sorted(journals.glob("[!.]*"))
    zeros = journals / f"{otlp.id()}.journal"
    zeros.write_bytes(bytes(8192))
    running.start()
    assert sorted(journals.glob("[!.]*")) == mine
    assert running.log.count("is no journal of a run; it is left alone") == 4
    assert running.health()["runs_in_progress"] == []
    whole = otlp.spans(run_id, 1, declared=(1, 0, 0))
    assert running.post("traces", whole).status == 503  # there is a folder in its journal's place
    (journals / f"{run_id}.journal").rmdir()
    assert running.post("traces", whole).status == 200
    assert running.sealed(run_id)["spanbook"]["complete"] is True


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"spanbook journal 2\nsomething new", "another version of spanbook"),
        (MAGIC + frame(7, b"profiles"), "a newer version of spanbook"),
        (b"something else", "is no spanbook journal"),
    ],
)
def test_start_up_does_not_touch_another_versions_journal(collector, otlp, content, told) -> None:
    """A journal that this version cannot read whole is neither cut nor written over."""
    running = collector()
    assert running.stop() == 0
    journal = running.outputs / "journals" / f"{otlp.id()}.journal"
    journal.write_bytes(content)
    with pytest.raises(AssertionError, match=told):
        running.start()
    assert running.popen.wait() == 1
    assert "Traceback" not in running.log
    assert journal.read_bytes() == content


def test_start_up_keeps_what_stands_behind_damage(collector, otlp) -> None:
    """A frame that the disk garbled costs its own spans only, and is told."""
    running = collector("--grace=0")
    run_id, ids = otlp.id(), [otlp.id(8) for _ in range(3)]
    for span in ids:
        running.export("traces", otlp.spans(run_id, ids=[span]))
    running.kill()
    journal = running.outputs / "journals" / f"{run_id}.journal"
    content = bytearray(journal.read_bytes())
    content[content.index(bytes.fromhex(ids[1]))] ^= 1
    journal.write_bytes(content)
    running.start()
    assert "are damaged" in running.log
    running.export("traces", otlp.spans(run_id, 1, declared=(4, 0, 0)))
    sealed = running.sealed(run_id)
    assert {ids[0], ids[2]} < set(_spans(sealed))
    assert sealed["spanbook"]["received"]["spans"] == 3


def test_a_run_that_was_complete_at_the_crash_is_sealed_at_the_start(collector, otlp) -> None:
    """The counts are taken up from the journal."""
    running = collector("--grace=600")
    run_id = otlp.id()
    running.export("logs", otlp.logs(run_id, ["a"]))
    running.export("traces", otlp.spans(run_id, 2, declared=(3, 1, 0)))
    running.kill()
    running.start()
    running.export("traces", otlp.spans(run_id, 1))
    assert running.sealed(run_id)["spanbook"]["complete"] is True


def test_sigterm_answers_seals_and_exits_0(collector, otlp) -> None:
    """A stop under load loses no acknowledged span, and exits 0 within the drain time."""
    running = collector("--drain=10")
    run_id, acknowledged = otlp.id(), []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            span = otlp.id(8)
            try:
                running.export("traces", otlp.spans(run_id, ids=[span]))
            except (grpc.RpcError, ValueError):
                return
            acknowledged.append(span)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 50:
        pass
    running.popen.terminate()
    assert running.popen.wait(20) == 0
    stop.set()
    for thread in threads:
        thread.join()
    running._disconnect()
    running.start()
    running.export("traces", otlp.spans(run_id, 1, declared=(0, 0, 0)))
    assert set(acknowledged) <= set(_spans(running.sealed(run_id)))


def test_two_collectors_do_not_share_a_folder(collector, tmp_path) -> None:
    """A second collector on the same outputs says who is there, and exits 1."""
    running = collector()
    code = (
        "from spanbook_collector import lock; lock.lock_folder.__kwdefaults__['wait'] = 0.1;"
        "import sys; from spanbook_collector.cli import main; sys.exit(main())"
    )
    command = ["--outputs", str(running.outputs), "--grpc-port=0", "--http-port=0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert str(running.popen.pid) in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB in memory."""
    if not IS_ROOT or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_a_passing_fault(collector, otlp, small_disk) -> None:
    """A truly full disk is UNAVAILABLE; with room again, everything acknowledged is there."""
    running = collector(outputs=small_disk / "outputs")
    run_id, acknowledged, pending = otlp.id(), [], None
    for _ in range(200):
        span = otlp.id(8)
        payload = otlp.spans(run_id, ids=[span], filler=os.urandom(30_000).hex())
        try:
            running.export("traces", payload)
        except grpc.RpcError as error:
            refused, pending = error.code(), (span, payload)
            break
        acknowledged.append(span)
    assert pending is not None
    assert refused is grpc.StatusCode.UNAVAILABLE
    assert acknowledged
    reply = running.post("traces", pending[1])
    assert (reply.status, "No space left" in reply.body.decode(errors="replace")) == (503, True)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    running.export("traces", pending[1])
    last = otlp.id(8)
    total = len(acknowledged) + 2
    running.export("traces", otlp.spans(run_id, ids=[last], declared=(total, 0, 0)))
    sealed = running.sealed(run_id)
    assert sorted(_spans(sealed)) == sorted([*acknowledged, pending[0], last])
    assert running.stop() == 0


def test_a_seal_without_room_is_tried_again(collector, otlp, small_disk) -> None:
    """A seal that meets a full disk leaves no half file, and succeeds later."""
    running = collector(outputs=small_disk / "outputs")
    run_id = otlp.id()
    ids = [otlp.id(8) for _ in range(30)]
    for span in ids[:-1]:
        running.export("traces", otlp.spans(run_id, ids=[span], filler=os.urandom(15_000).hex()))
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        stream.write(b"x" * (3 << 19))
    running.export("traces", otlp.spans(run_id, ids=ids[-1:], declared=(30, 0, 0)))
    _until(lambda: running.health()["seals"]["failures"] > 0)
    assert "No space left" in running.health()["seals"]["last_error"]
    assert not list((small_disk / "outputs" / "runs").iterdir())
    filler.unlink()
    assert sorted(_spans(running.sealed(run_id, 40))) == sorted(ids)


def test_a_read_only_disk_is_told_at_the_start(collector, otlp, small_disk) -> None:
    """A folder that cannot be written: exit code 1, and which folder and setting it is."""
    (small_disk / "outputs").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    command = ["--outputs", str(small_disk / "outputs"), "--grpc-port=0", "--http-port=0"]
    done = subprocess.run(
        [sys.executable, "-m", "spanbook_collector.cli", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "SPANBOOK_OUTPUTS" in done.stderr


def _until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_two_hundred_kills_lose_and_double_nothing(collector, otlp) -> None:
    """Kill -9 at random instants under load: every acknowledged span is found, and found once."""
    kills = int(os.environ.get("SPANBOOK_CRASH_KILLS", "200"))
    options = ("--grace=600", "--idle=600", "--log-level=warning")
    collectors = [collector(*options) for _ in range(KILLED_AT_ONCE)]
    with ThreadPoolExecutor(KILLED_AT_ONCE) as pool:  # most of a start is waiting
        stories = [
            pool.submit(_killed, running, otlp, random.Random(seed), kills // KILLED_AT_ONCE)
            for seed, running in enumerate(collectors)
        ]
    for running, story in zip(collectors, stories, strict=True):
        for run_id, mine in story.result().items():
            if mine:
                found = _spans(running.sealed(run_id, 120))
                assert len(found) == len(set(found))
                assert set(mine) <= set(found)
        assert running.health()["late"] == []
        assert not list(running.outputs.glob("runs/.*"))


def _killed(running, otlp, rng: random.Random, kills: int) -> dict[str, list[str]]:
    """Kill one collector so often; run → the spans that it acknowledged."""
    done = threading.Event()
    acknowledged: dict[str, list[str]] = {}
    lock = threading.Lock()

    def client(number: int) -> None:
        """Sends batches to runs of its own, and retries as SDKs do."""
        while not done.is_set():
            run_id, mine = otlp.id(), []
            for _ in range(rng.randint(5, 40)):
                ids = [otlp.id(8) for _ in range(rng.randint(1, 30))]
                if not _retried(running, otlp.spans(run_id, ids=ids), done):
                    break
                mine += ids
            last = otlp.id(8)
            whole = otlp.spans(run_id, ids=[last], declared=(len(mine) + 1, 0, 0))
            if not done.is_set() and _retried(running, whole, done):
                mine.append(last)
            with lock:
                acknowledged[run_id] = mine

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(kills):
            done.wait(rng.random() * 0.12)
            running.kill()
            running.start()
        done.wait(1)
    finally:
        done.set()
    for thread in threads:
        thread.join(30)
    running.kill()
    running.options = (*running.options, "--idle=1", "--grace=1")
    running.start()
    return acknowledged


def _retried(running, payload: bytes, done: threading.Event) -> bool:
    """Send until it is acknowledged; False when the test is over first."""
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    while not done.is_set():
        try:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(running.address, options=options) as channel:
                channel.unary_unary(method)(payload, timeout=5)
        except (grpc.RpcError, ValueError):
            done.wait(0.02)
        else:
            return True
    return False
