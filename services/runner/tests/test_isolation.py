"""A task does not feel what another did to the process that both ran in."""

PIPELINE = """
import os, resource, signal
from spanbook import log, pipeline, task

@task
def spoils() -> int:
    os.chdir("/")
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(3600)
    os.close(1)
    os.close(2)
    return os.getpid()

@task
def looks(before) -> None:
    log.value("pid", str(os.getpid()))
    log.value("same process", before in (None, os.getpid()))
    log.value("folder", os.getcwd())
    log.value("umask", oct(os.umask(0o022)))
    log.value("files", str(resource.getrlimit(resource.RLIMIT_NOFILE)))
    log.value("alarm", str(signal.alarm(0)))
    log.value("ignored", signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
    print("printed")
    os.system("echo by a subprocess")

@pipeline
def one_after_the_other():
    looks(None)
    looks(spoils())
"""


def test_a_task_finds_its_process_as_the_first_one_did(runner):
    """Folder, umask, limits, signal handlers and output are those of a fresh worker."""
    done = runner.run(PIPELINE, SPANBOOK_CPUS="1")
    assert done.code == 0, done.out + done.err
    fresh, later = [task.final for task in done.recorded.tasks if task.name == "looks"]
    assert later.values["same process"] is True
    keys = ("folder", "umask", "files", "ignored", "alarm")
    assert {k: later.values[k] for k in keys} == {k: fresh.values[k] for k in keys}
    for attempt in (fresh, later):
        assert [line.text for line in attempt.logs] == ["printed", "by a subprocess"]
