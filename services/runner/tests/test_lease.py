"""Attempts that share a worker: each still ends on its own, with its own value, times and CPUs."""

import itertools
import socket
import threading
from multiprocessing.connection import Client, Listener

import pytest
from spanbook.seat import Wire
from spanbook_runfile.names import Result

PIPELINE = """
import os, signal, time
from pathlib import Path
import numpy as np
from spanbook import log, pipeline, task

@task
def begin() -> int:
    return 1

@task
def link(value: int) -> int:
    return value + 1

@task(retries=1, backoff=0)
def item(number: int, folder: str) -> int:
    once = Path(folder) / f"once-{number}"
    if number in (20, 30) and not once.exists():
        once.touch()
        if number == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)
    return number

@task(timeout=0.5)
def stuck() -> None:
    time.sleep(600)

@task
def total(values) -> int:
    return sum(values)

@task
def show(value: int) -> None:
    pass

@task(outputs=2)
def arrays(size: int):
    return np.arange(size), [np.arange(size), {1}]

@task
def look(array, nested) -> None:
    log.value("seen", f"{array.sum()} {array.flags.writeable} {nested[0].flags.writeable} {nested[1]}")

@pipeline
def shared(folder: str):
    value = begin()
    for _ in range(30):
        value = link(value)
    stuck()
    show(total([value, total([item(number, folder) for number in range(60)])]))
    look(*arrays(10))
    look(*arrays(1_000_000))
"""


@pytest.fixture(scope="module")
def shared(module_runner):
    """A run on one CPU, in which tasks share workers that are killed now and then."""
    folder = module_runner.folder
    return module_runner.run(PIPELINE, "--param", f"folder={folder}", SPANBOOK_CPUS="1")


def test_a_killed_worker_takes_only_the_attempt_it_was_at(shared):
    """What it had finished before keeps its success and its value; what waited runs elsewhere."""
    run = shared.recorded
    assert run.problems == ()
    items = [task for task in run.tasks if task.name == "item"]
    died = [task for task in items if len(task.attempts) > 1]
    assert [task.final.parameters["number"] for task in died] == [20, 30]
    for task in died:
        first, second = task.attempts
        assert (first.result, first.error_type) == (Result.ERROR, "WorkerDied")
        assert second.result is Result.SUCCESS
        assert first.pid != second.pid
        before = [t for t in items if t.final.pid == first.pid and t.final.end <= first.start]
        assert before, "it had run nothing before"
        assert all(t.result is Result.SUCCESS and len(t.attempts) == 1 for t in before)
    assert all(task.result is Result.SUCCESS for task in items)


def test_values_of_a_shared_worker_reach_their_tasks(shared):
    """A chain counts right, and a fan-in has all items, those of killed workers too."""
    links = [t.final for t in shared.recorded.tasks if t.name == "link"]
    assert [link.parameters["value"] for link in links] == list(range(1, 31))
    assert shared.task("show").final.parameters["value"] == 31 + sum(range(60))


def test_a_time_limit_ends_one_attempt(shared):
    """The one that is stuck, and no other of its worker."""
    stuck = shared.task("stuck")
    assert [attempt.result for attempt in stuck.attempts] == [Result.TIMEOUT]
    others = [t for t in shared.recorded.tasks if t is not stuck]
    assert {t.result for t in others} == {Result.SUCCESS}


def test_small_values_are_as_large_ones(shared):
    """Arrays that the driver hands over are read-only, as those from Ray's store are."""
    small, large = [t.final for t in shared.recorded.tasks if t.name == "look"]
    assert small.values["seen"] == "45 False False {1}"
    assert large.values["seen"] == "499999500000 False False {1}"


def test_attempts_of_a_worker_follow_one_another(shared):
    """Each has its own times: queued before it starts, and none runs while another does."""
    attempts = [attempt for task in shared.recorded.tasks for attempt in task.attempts]
    assert all(a.queued <= a.start <= a.running <= a.end for a in attempts if a.running)
    by_worker = {}
    for attempt in sorted(attempts, key=lambda a: a.start):
        by_worker.setdefault(attempt.pid, []).append(attempt)
    assert max(map(len, by_worker.values())) > 10, "no worker was shared"
    for mine in by_worker.values():
        assert all(a.end <= b.start for a, b in itertools.pairwise(mine))


CPUS = """
import time
from pathlib import Path
from spanbook import pipeline, task

@task
def small(number: int) -> int:
    time.sleep(0.02)
    return number

@task(cpus=2)
def both(number: int) -> int:
    time.sleep(0.05)
    return number

@task(cpus=0.5)
def half(number: int) -> int:
    time.sleep(0.05)
    return number

@task(outputs=2)
def pair() -> tuple[int, int]:
    return 1, 2

@pipeline
def mixed():
    for number in range(200):
        small(number)
        if number % 20 == 0:
            both(number)
            half(number)
    pair()
"""


@pytest.fixture(scope="module")
def mixed(module_runner):
    """A run on two CPUs of tasks that need different numbers of them."""
    return module_runner.run(CPUS, SPANBOOK_CPUS="2")


def test_cpus_are_never_overbooked(mixed):
    """A worker that is shared holds the CPUs of what it runs, no more and no less."""
    taken = {"both": 2.0, "half": 0.5}
    moments = []
    for task in mixed.recorded.tasks:
        cpus = taken.get(task.name, 1.0)
        moments += [(task.final.start, cpus), (task.final.end, -cpus)]
    now = 0.0
    for _, cpus in sorted(moments):
        now += cpus
        assert now <= 2.0


def test_others_get_their_turn(mixed):
    """Tasks that need something else are not left until the small ones are all done."""
    starts = {}
    for task in mixed.recorded.tasks:
        starts.setdefault(task.name, []).append(task.final.start)
    last = max(starts["small"])
    assert min(starts["half"]) < last
    assert starts["pair"][0] < last


MEETING = """
import time
from pathlib import Path
from spanbook import pipeline, task

@task
def small(number: int) -> int:
    return number

@task
def meet(me: int, other: int, folder: str, after: int) -> None:
    (Path(folder) / f"here-{me}").touch()
    for _ in range(6000):
        if (Path(folder) / f"here-{other}").exists():
            return
        time.sleep(0.02)
    raise TimeoutError("the other one is not there")

@pipeline
def meeting(folder: str):
    first = small(small(small(0)))
    for me, other in [(1, 2), (2, 1)]:
        for number in range(5):
            small(number)
        meet(me, other, folder, first)
"""


def test_tasks_that_can_run_at_once_do(runner):
    """Two that wait for each other are not put behind one another on one worker."""
    done = runner.run(MEETING, "--param", f"folder={runner.folder}", SPANBOOK_CPUS="2")
    assert done.code == 0, done.out + done.err


DYING = """
import os, select, signal
from spanbook import pipeline, seat, task

def die(mine):
    select.select([mine._wire], [], [])  # it has been handed an attempt
    os.kill(os.getpid(), signal.SIGKILL)

@task
def first() -> int:
    seat.Seat.next = die
    return 1

@task
def second(value: int) -> int:
    return value + 1

@task
def forks() -> int:
    return 99 if os.fork() == 0 else 1

@task
def counted(value: int) -> None:
    pass

@pipeline
def dying():
    second(first())
    for _ in range(5):
        counted(forks())
"""


def test_a_worker_that_dies_before_it_reads_costs_nothing(runner):
    """What it was handed began nowhere: another worker has it, and no attempt is an error."""
    done = runner.run(DYING)
    assert done.code == 0, done.out + done.err
    first, second = (done.task(name).attempts for name in ("first", "second"))
    assert [attempt.result for attempt in (*first, *second)] == [Result.SUCCESS] * 2
    assert first[0].pid != second[0].pid
    # a fork that comes back from its task, too, speaks for nobody
    counted = [task.final.parameters for task in done.recorded.tasks if task.name == "counted"]
    assert counted == [{"value": 1}] * 5


# -- the wire ---------------------------------------------------------------------------------------


@pytest.fixture
def wires():
    """Both ends of a connection."""
    with Listener(("127.0.0.1", 0), authkey=b"key") as listener:
        dialled = []
        caller = threading.Thread(
            target=lambda: dialled.append(Client(listener.address, authkey=b"key"))
        )
        caller.start()
        accepted = listener.accept()
        caller.join()
    both = Wire(accepted, seconds=0.2), Wire(dialled[0])
    yield both
    for wire in both:
        wire.close()


def everything(wire, count):
    """The next messages of a wire."""
    found = []
    while len(found) < count:
        found += wire.read()
    return found


def test_messages_come_whole(wires):
    """However large they are, and however they are cut on their way; an empty one too."""
    here, there = wires
    sent = [b"", b"x", b"y" * 3_000_000, b"", b"z" * 70_000]
    sender = threading.Thread(target=lambda: [there.send(message) for message in sent])
    sender.start()
    assert everything(here, len(sent)) == sent
    sender.join()
    there.close()
    with pytest.raises(EOFError):
        here.read()


def test_one_who_does_not_listen_is_not_waited_for(wires):
    """A frozen worker must not hold up its driver."""
    here, _there = wires
    with pytest.raises(OSError, match="timed out"):
        here.send(b"x" * 200_000_000)


def test_half_a_message_holds_nobody_up(wires):
    """A worker that is frozen in the middle of a message leaves its driver free for the others."""
    here, there = wires
    raw = socket.socket(fileno=socket.dup(there.fileno()))
    with raw:
        raw.sendall((100).to_bytes(8, "big") + b"half")
        assert here.read() == []
        raw.sendall(b"x" * 96)
        assert here.read() == [b"half" + b"x" * 96]
