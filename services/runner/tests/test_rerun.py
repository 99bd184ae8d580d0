"""``--from`` and ``--only``: running a part, with the values of an earlier run."""

from spanbook_runfile.merge import Merge, write_run_file
from spanbook_runfile.names import Result, SealReason

PIPELINE = """
import os
from spanbook import log, pipeline, task

@task(keep=True)
def costly() -> list[int]:
    log.value("ran", "costly")
    return [1, 2, 3]

@task
def cheap() -> int:
    log.value("ran", "cheap")
    return 10

@task(keep=True)
def apart() -> int:
    return 0

@task(keep=True, outputs=2)
def pair(x) -> tuple[int, int]:
    return x + 1, x + 2

@task
def item(x: int, plus: int) -> int:
    if os.environ.get("BREAK") and x == 2:
        raise ValueError("broken")
    return x + plus

@task
def total(values, extra) -> int:
    log.value("total", str(sum(values) + extra))
    return sum(values)

@pipeline
def sums():
    values = costly()
    first, second = pair(apart())
    items = item.partial(plus=cheap()).map(values)
    total(items, second)
"""


def seal(outputs):
    """Make a run file of what the spool holds, as the collector would."""
    (spool,) = outputs.glob("spool/*.journal")
    merge = Merge.of_journal(spool, spool.stem)
    folder = outputs / "runs"
    folder.mkdir(exist_ok=True)
    write_run_file(folder, spool.stem, merge.seal(SealReason.COMPLETE))
    spool.unlink()
    return spool.stem


def test_what_failed_runs_again_with_kept_values(runner):
    """The failed and the skipped run; kept values are taken from the file, others are made again."""
    broken = runner.run(PIPELINE, BREAK="1")
    assert broken.code == 1
    run_id = seal(runner.outputs)
    assert [t.result for t in broken.recorded.tasks if t.name == "item"].count("failure") == 1

    done = runner.run("", "--from", run_id[:12])
    assert done.code == 0, done.out + done.err
    ran = {t.name for t in done.recorded.tasks if t.attempts}
    assert ran == {"cheap", "item", "total"}
    assert done.task("total").final.values["total"] == "38"  # 11 + 12 + 13, and 2 of the pair
    reused = {t.name: t for t in done.recorded.tasks if not t.attempts}
    assert set(reused) == {"costly", "pair", "apart"}
    assert all(t.result is Result.SUCCESS for t in reused.values())
    assert reused["costly"].attributes["spanbook.task.reused_from"] == run_id
    assert "Running cheap again" in done.out

    dry = runner.run("", "--from", run_id, "--dry-run")
    assert dry.code == 0, dry.out + dry.err
    lines = [line for line in dry.out.splitlines() if line.startswith(("  costly", "  total"))]
    assert lines[0] == f"  costly  (not run: as in {run_id[:8]})"
    assert lines[-1].startswith("  total  after item")
    assert "not run" not in lines[-1]

    again = runner.run("", "--from", run_id, "--only", "pair")
    assert again.code == 0, again.out + again.err
    assert {t.name for t in again.recorded.tasks if t.attempts} == {"pair"}


def test_only_runs_a_task_and_what_it_needs(runner):
    """Without an earlier run, ``--only`` runs the task and everything above it."""
    dry = runner.run(PIPELINE, "--only", "pair", "--dry-run")
    assert "  cheap  (not run)\n" in dry.out
    assert "  pair  after apart\n" in dry.out
    done = runner.run("", "--only", "pair")
    assert done.code == 0, done.out + done.err
    ran = {t.name for t in done.recorded.tasks if t.attempts}
    assert ran == {"apart", "pair"}
    assert done.task("cheap").result is Result.SKIP


def test_what_cannot_be_run_again_is_told(runner):
    """An unknown task and an unknown run end with exit code 2."""
    runner.write(PIPELINE)
    wrong = runner.run("", "--only", "totl")
    assert (wrong.code, "Did you mean 'total'?" in wrong.err) == (2, True)
    wrong = runner.run("", "--from", "abc123")
    assert (wrong.code, "--from abc123: there is none" in wrong.err) == (2, True)
