"""The commands on files that mean harm or are broken, and where their output cannot go."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from spanbook_runfile import names, parse_run, samples
from spanbook_runfile.cli import main
from spanbook_runfile.journal import MAGIC, Signal, frame, read_frames
from spanbook_runfile.samples import golden

PROGRAM = [sys.executable, "-m", "spanbook_runfile"]
ODD = (
    *(None, True, -1, 0, 2**63, 2**64 - 1, 1e308, "NaN", "", "\x00", "x" * 10_000, [], {}, [[]]),
    *([{}], "zz", [1], {"a": 1}, "../../../x", "/abs", "C:\\x", "con", "\u202ertl", "9" * 30),
    *({"stringValue": 5}, {"intValue": "x"}, {"arrayValue": {"values": {}}}, {"kvlistValue": []}),
)


def _odd(rng: random.Random, value: object, chance: float) -> object:
    """A JSON value with some of its parts replaced by odd ones."""
    if rng.random() < chance:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {
            (k if rng.random() > chance else "unknown"): _odd(rng, v, chance)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_odd(rng, item, chance) for item in value]
    return value


@pytest.mark.parametrize("number", range(30))
def test_any_document(
    tmp_path: Path, number: int, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Whatever a file holds, each command does its work or says in a line why not."""
    rng = random.Random(number)
    name = ("failed", "retried", "foreign", "empty", "hostile")[number % 5]
    document = _odd(rng, json.loads(samples.sealed(name)), rng.choice((0.001, 0.01, 0.05)))
    path = tmp_path / "run.json"
    path.write_bytes(json.dumps(document).encode())
    for command, where in (
        ("verify", []),
        ("summary", []),
        ("export", ["--to", str(tmp_path / "export")]),
        ("expand", ["--to", str(tmp_path / "expand")]),
        ("import", ["--runs", str(tmp_path / "runs")]),
    ):
        code = main([command, str(path), *where])
        error = capsysbinary.readouterr().err
        assert code in {0, 1, 2}
        if code and command != "verify":
            assert error.startswith(b"spanbook: ")
            assert error.count(b"\n") == 1


def test_too_deep_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is nested deeper than JSON is written here is refused, with nothing left behind."""
    value = "{}"
    for _ in range(300):
        value = f'{{"arrayValue":{{"values":[{value}]}}}}'
    span = f'{{"spanId":"{"b" * 16}","attributes":[{{"key":"a","value":{value}}}]}}'
    path = tmp_path / "deep.json"
    path.write_text(f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}')
    assert main(["export", str(path), "--to", str(tmp_path / "out")]) == 1
    assert "Recursion limit" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_what_stands_behind_the_seal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A section that is added behind the seal, where its digest does not reach, is found."""
    content = samples.sealed("ok").rstrip()
    path = tmp_path / "run.json"
    path.write_bytes(content[:-1] + b',"resourceLogs":[]}\n')
    assert main(["verify", str(path)]) == 1
    assert "changed after it was sealed" in capsys.readouterr().out


def test_expand_tasks_of_odd_ids(tmp_path: Path) -> None:
    """Tasks whose ids are paths, or alike once cleaned, and tries of one number, have own folders."""
    whole = json.loads(golden.interrupted().sealed())
    records = whole["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    declared = next(r for r in records if r.get("eventName") == names.Event.TASK_DECLARED)
    started = next(r for r in records if r.get("eventName") == names.Event.ATTEMPT_STARTED)
    ids = ["../../up", "a/b", "a\\b", "", "x" * 10_000, "\u202e", "con"]
    records.extend({**declared, "spanId": span_id} for span_id in ids)
    records.extend({**started, "spanId": f"{n:016x}"} for n in range(3))
    path = tmp_path / "run.json"
    path.write_bytes(orjson.dumps(whole))
    run = parse_run(path.read_bytes())
    assert main(["expand", str(path), "--to", str(tmp_path / "tree")]) == 0
    told = [json.loads(p.read_text()) for p in (tmp_path / "tree").glob("*/run-time-metadata.json")]
    assert sorted(task["id"] for task in told) == sorted(task.id for task in run.tasks)
    assert {p.name for p in tmp_path.iterdir()} == {"run.json", "tree"}


# -- half done -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["export", "expand"])
def test_a_disk_that_is_full_half_way(tmp_path: Path, command: str) -> None:
    """A file that cannot be written whole leaves none of the names that it would have had."""
    path, folder = tmp_path / "run.json", tmp_path / "out"
    path.write_bytes(samples.sealed("ok"))

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [*PROGRAM, command, path, "--to", folder],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not list(folder.iterdir())


def test_stopped_half_way(tmp_path: Path) -> None:
    """Ctrl-C leaves nothing that looks like a tree, and no traceback."""
    path, folder = tmp_path / "run.json", tmp_path / "out"
    path.write_bytes(samples.wide(3000).sealed())
    command = [*PROGRAM, "expand", path, "--to", folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not list(folder.glob(".expand-*/*")):
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=60)
    if running.returncode != 0:  # 0 where it was done before the signal came
        assert (running.returncode, error) == (1, "spanbook: stopped.\n")
        assert not list(folder.iterdir())


def test_export_takes_the_place_of_links(tmp_path: Path) -> None:
    """A link under the name of an output is replaced; what it points to is not written to."""
    path, folder = tmp_path / "run.json", tmp_path / "out"
    path.write_bytes(samples.sealed("ok"))
    folder.mkdir()
    (tmp_path / "mine").write_text("mine")
    (folder / "traces.jsonl").symlink_to(tmp_path / "mine")
    assert main(["export", str(path), "--to", str(folder)]) == 0
    assert (tmp_path / "mine").read_text() == "mine"
    assert (folder / "traces.jsonl").read_bytes().startswith(b'{"resourceSpans"')
    assert len(list(folder.iterdir())) == 3


# -- standard output -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "summary"])
def test_a_closed_pipe(tmp_path: Path, command: str) -> None:
    """``| head`` may close its end: no traceback, and an exit code that is no success."""
    path = tmp_path / "run.json"
    path.write_bytes(samples.sealed("ok"))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, command, path], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_terminal_that_knows_ascii(tmp_path: Path) -> None:
    """What standard output has no characters for is told in others."""
    path = tmp_path / "Läufe.json"
    path.write_bytes(samples.sealed("ok"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*PROGRAM, "verify", path], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"L\\xe4ufe.json" in done.stdout


# -- import --------------------------------------------------------------------------------


def test_import_of_two_files_of_one_name(tmp_path: Path) -> None:
    """Two parts of a run may have one file name, in two folders."""
    run = golden.retried()
    whole = json.loads(run.sealed())
    for folder, sections in (("a", ["resourceSpans"]), ("b", ["resourceLogs", "resourceMetrics"])):
        (tmp_path / folder).mkdir()
        part = {"resourceSpans": [], **{name: whole[name] for name in sections}}
        (tmp_path / folder / f"{run.id}.json").write_bytes(orjson.dumps(part))
    files = [str(tmp_path / folder / f"{run.id}.json") for folder in "ab"]
    assert main(["import", *files, "--runs", str(tmp_path / "runs")]) == 0
    sealed = json.loads((tmp_path / "runs" / f"{run.id}.json").read_bytes())
    assert sealed["spanbook"]["received"] == whole["spanbook"]["received"]


def test_import_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that the files hold nothing of is not made of them."""
    path = tmp_path / "x.journal"
    path.write_bytes(golden.ok().journal())
    wanted = ["--run-id", "e" * 32, "--runs", str(tmp_path / "runs")]
    assert main(["import", str(path), *wanted]) == 2
    assert f"but of {golden.ok().id}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"spanbook journal 2\n" + frame(Signal.LOGS, b"x"), "another version of spanbook"),
        (MAGIC + frame(9, b"x"), "a newer version of spanbook"),  # type: ignore[arg-type]
        (b'["a"]' + b" " * 20, "x.journal is no spanbook journal"),
    ],
)
def test_journals_of_others(
    tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal of another version is not taken for a damaged one."""
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    assert main(["import", str(path), "--runs", str(tmp_path / "runs")]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("zeros", [0, 5000])
def test_a_journal_cut_anywhere(tmp_path: Path, zeros: int) -> None:
    """Cut at any byte a journal has the frames that are whole, also where zeros stand behind."""
    frames = [frame(Signal.LOGS, b"one"), frame(Signal.TRACES, b""), frame(Signal.METRICS, b"3rd")]
    whole = MAGIC + b"".join(frames)
    path = tmp_path / "x.journal"
    for length in [*([0] if zeros else range(len(MAGIC))), *range(len(MAGIC), len(whole) + 1)]:
        path.write_bytes(whole[:length] + bytes(zeros))
        with path.open("rb") as stream:
            read = [payload for _, payload, _ in read_frames(stream)]
        ends = [len(MAGIC) + len(b"".join(frames[: n + 1])) for n in range(3)]
        assert read == [b"one", b"", b"3rd"][: sum(end <= length for end in ends)]


def test_a_damaged_frame_costs_no_other(tmp_path: Path) -> None:
    """Behind a frame whose content is damaged the whole ones are read; a growing journal ends."""
    content = bytearray(
        MAGIC + frame(Signal.LOGS, b"one") + frame(Signal.LOGS, b"two") + frame(Signal.LOGS, b"end")
    )
    content[content.index(b"two")] ^= 1
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    for growing, expected in ((False, [b"one", b"end"]), (True, [b"one"])):
        with path.open("rb") as stream:
            frames = list(read_frames(stream, growing=growing))
        assert [payload for _, payload, _ in frames] == expected
    assert frames[-1][2] == len(MAGIC) + 12
