"""A run in progress: read on from where one was, with the same outcome as read in one go."""

from pathlib import Path

import pytest
from spanbook_runfile import LiveJournal, Run, parse_run, read_journal, samples
from spanbook_runfile.journal import MAGIC, frame
from spanbook_runfile.samples import golden


@pytest.mark.parametrize("name", ["ok", "failed", "retried", "interrupted", "empty", "wide"])
def test_as_read_at_once(tmp_path: Path, name: str) -> None:
    """A journal read frame by frame as it grows gives the run that its run file gives."""
    run = samples.SEALED[name]()
    path = tmp_path / f"{run.id}.journal"
    path.write_bytes(MAGIC)
    live = LiveJournal(path, run.id)
    with path.open("ab", buffering=0) as stream:
        for signal, payload in run.frames():
            part = frame(signal, payload)
            stream.write(part[:7])
            live.refresh()  # in the midst of a frame
            stream.write(part[7:])
            live.refresh()
    found = live.refresh()
    assert found == read_journal(path, run.id)
    sealed = parse_run(run.sealed())
    assert (found.tasks, found.logs, found.result) == (sealed.tasks, sealed.logs, sealed.result)


def test_states(tmp_path: Path) -> None:
    """While a run goes on its tasks are waiting, running or ended, and the run has no seal."""
    run = golden.running()
    path = tmp_path / "x.journal"
    path.write_bytes(run.journal())
    found = LiveJournal(path, run.id).refresh()
    assert [task.state for task in found.tasks] == [
        *("success", "running", "running", "waiting", "waiting")
    ]
    assert found.state == "running"
    assert [a.result for a in found.tasks[2].attempts] == ["failure", None]
    assert found.tasks[1].attempts[0].metrics["loss"].steps == tuple(range(10))


def test_nothing_new(tmp_path: Path) -> None:
    """Where nothing came, a refresh gives the same object."""
    run = golden.running()
    path = tmp_path / "x.journal"
    path.write_bytes(run.journal())
    live = LiveJournal(path, run.id)
    assert live.refresh() is live.refresh()


def test_duplicates(tmp_path: Path) -> None:
    """A request that came twice is there once."""
    run = golden.running()
    frames = b"".join(frame(signal, payload) for signal, payload in run.frames())
    path = tmp_path / "x.journal"
    path.write_bytes(MAGIC + frames + frames)
    twice = LiveJournal(path, run.id).refresh()
    path.write_bytes(MAGIC + frames)
    assert twice == LiveJournal(path, run.id).refresh()


def test_started_anew(tmp_path: Path) -> None:
    """A journal that became shorter is another one, and is read from its start."""
    first, second = golden.ok(), golden.running()
    path = tmp_path / "x.journal"
    path.write_bytes(first.journal())
    live = LiveJournal(path, second.id)
    assert live.refresh().tasks == ()  # all of another run
    path.write_bytes(second.journal())
    assert len(live.refresh().tasks) == 5


def test_gone(tmp_path: Path) -> None:
    """Once the run is sealed and its journal gone, a refresh says so."""
    with pytest.raises(FileNotFoundError):
        LiveJournal(tmp_path / "no.journal", golden.ok().id).refresh()


def test_earlier_runs_stay(tmp_path: Path) -> None:
    """What a refresh gave is not changed by the next one."""
    run = golden.ok()
    path = tmp_path / "x.journal"
    frames = [frame(signal, payload) for signal, payload in run.frames()]
    path.write_bytes(MAGIC + b"".join(frames[:4]))
    live = LiveJournal(path, run.id)
    early: Run = live.refresh()
    counts = [len(a.logs) for t in early.tasks for a in t.attempts]
    with path.open("ab") as stream:
        stream.write(b"".join(frames[4:]))
    live.refresh()
    assert [len(a.logs) for t in early.tasks for a in t.attempts] == counts
