"""Everything that an attempt prints is recorded: in order, whole lines, within bounds."""

import time
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def lines(ran: Any) -> list[tuple[str, str]]:
    """The recorded lines as (stream, text)."""
    return [(line.stream, line.text) for line in ran.attempt.logs]


def test_order_of_everything(run_inside: Run) -> None:
    """Python, C code, subprocesses and logging interleave as they were written."""
    ran = run_inside(
        """
        import ctypes, logging, os, subprocess, sys
        print("one")
        subprocess.run(["sh", "-c", "echo two; echo three >&2"])
        print("four", file=sys.stderr)
        logging.getLogger("my.module").warning("five %d", 5)
        os.write(1, b"six\\n")
        print("seven")
        sys.stdout.buffer.write(b"eight\\n"); sys.stdout.buffer.flush()
        ctypes.CDLL(None).puts(b"nine")
        """
    )
    assert lines(ran) == [
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "three"),
        ("stderr", "four"),
        ("log", "five 5"),
        ("stdout", "six"),
        ("stdout", "seven"),
        ("stdout", "eight"),
        ("stdout", "nine"),
    ]
    times = [line.time for line in ran.attempt.logs]
    assert times == sorted(times)


def test_logging_keeps_level_and_logger(run_inside: Run) -> None:
    """A logging record has its level, logger and traceback; INFO is recorded, DEBUG when asked for."""
    ran = run_inside(
        """
        import logging
        log_ = logging.getLogger("a.b")
        log_.info("info"); log_.debug("not this")
        log_.setLevel(logging.DEBUG); log_.debug("debug")
        try:
            1 / 0
        except ZeroDivisionError:
            log_.exception("went wrong")
        """
    )
    found = [(x.severity, x.logger, x.text.splitlines()[0]) for x in ran.attempt.logs]
    assert found == [
        ("INFO", "a.b", "info"),
        ("DEBUG", "a.b", "debug"),
        ("ERROR", "a.b", "went wrong"),
    ]
    assert "ZeroDivisionError" in ran.attempt.logs[-1].text


def test_odd_ends(run_inside: Run) -> None:
    """No newline at the end, invalid UTF-8, CRLF and progress bars are all told as a person saw them."""
    ran = run_inside(
        r"""
        import os
        for n in range(101):
            print(f"\r{n} %", end="")
        print()
        os.write(1, b"caf\xe9\n")
        os.write(1, "über".encode()[:1]); os.write(1, "über".encode()[1:] + b"\n")
        print("windows\r")
        print("the end", end="")
        """
    )
    assert [text for _, text in lines(ran)] == ["100 %", "caf\ufffd", "über", "windows", "the end"]


def test_live(run_inside: Run) -> None:
    """Lines are sent while the attempt runs."""
    ran = run_inside("import time\nfor n in range(4): print(n); time.sleep(0.3)")
    assert ran.n_sent >= 3
    times = [line.time for line in ran.attempt.logs]
    assert times[-1] - times[0] > 0.8e9


def test_long_line_is_split(run_inside: Run) -> None:
    """A line without end does not become a record without end, and nothing of it is lost."""
    ran = run_inside("print('x' * 100_000)\nimport os\nos.write(1, b'y' * 50_000 + b'\\n')")
    parts = [line.text for line in ran.attempt.logs]
    assert max(map(len, parts)) <= 20_000
    assert "".join(parts) == "x" * 100_000 + "y" * 50_000


@pytest.mark.parametrize(
    "code",
    [
        "print('s3cr3t-value')",
        "print('s3cr3t', end=''); print('-value')",
        "import os; os.write(1, b's3cr3t'); os.write(1, b'-value\\n')",
        "import sys; print('-' * 16_380 + 's3cr3t-value')",
        "import os; os.write(1, b'-' * 16_380); os.write(1, b's3cr3t-value' + b'-' * 40_000)",
        "import logging; logging.warning('s3cr3t-value')",
        "import subprocess; subprocess.run(['sh', '-c', 'echo $MY_TOKEN'])",
    ],
)
def test_secrets_are_masked_however_they_are_cut(run_inside: Run, code: str) -> None:
    """A secret is masked whether it comes in one piece or not, and across the parts of a long line."""
    ran = run_inside(code, env={"MY_TOKEN": "s3cr3t-value"})
    text = "".join(line.text for line in ran.attempt.logs)
    assert "***" in text
    assert "s3cr3t" not in text
    assert "value" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "flood",
    [
        "for n in range(1_000_000): print('x' * 99)",
        "import subprocess; subprocess.run('yes | head -c 100000000', shell=True)",
        "print('x' * 100_000_000)",
    ],
    ids=["python", "subprocess", "one line"],
)
def test_flood_is_cut(run_inside: Run, flood: str) -> None:
    """100 MB of output fill no memory; the beginning and the end are kept, the cut is counted."""
    ran = run_inside(
        f"""
        print("the beginning")
        {flood}
        print()
        print("the end")
        import psutil
        print(psutil.Process().memory_info().rss)
        """,
        max_output_bytes=1 << 20,
    )
    texts = [text for _, text in lines(ran)]
    assert texts[0] == "the beginning"
    assert texts[-2] == "the end"
    recorded = sum(map(len, texts))
    assert recorded < 1_200_000
    assert len(texts) < 40_000  # a line is a record, whose own size counts too
    assert ran.attempt.dropped_output_bytes > 48_000_000
    assert int(texts[-1]) < 150 << 20


def test_cut_within_a_secret(run_inside: Run) -> None:
    """A secret that lies across the place where output is cut does not show in part."""
    ran = run_inside(
        "import os\nos.write(1, b'-' * 990 + os.environ['MY_TOKEN'].encode() * 20_000)",
        env={"MY_TOKEN": "s3cr3t-value"},
        max_output_bytes=1000,
    )
    text = "".join(line.text for line in ran.attempt.logs)
    assert "s3c" not in text
    assert "alue" not in text


def test_limit_not_reached_cuts_nothing(run_inside: Run) -> None:
    """Output a little over the limit is kept whole, in the tail, and no cut is told."""
    ran = run_inside("for n in range(300): print(n)", max_output_bytes=1000)
    assert [text for _, text in lines(ran)] == [str(n) for n in range(300)]
    assert ran.attempt.dropped_output_bytes == 0


def test_threads_and_forks(run_inside: Run) -> None:
    """Threads and forked children print into the same attempt."""
    ran = run_inside(
        """
        import multiprocessing, os, threading
        def speak(word): print(word, flush=True)
        thread = threading.Thread(target=speak, args=("thread",)); thread.start(); thread.join()
        child = multiprocessing.get_context("fork").Process(target=speak, args=("fork",))
        child.start(); child.join()
        print("parent")
        """
    )
    assert [text for _, text in lines(ran)] == ["thread", "fork", "parent"]


def test_output_outside_attempts_goes_where_it_went(run_inside: Run) -> None:
    """What is printed after the attempt is not recorded, and comes out as before."""
    ran = run_inside(
        """
        import atexit, os, sys
        print("inside")
        atexit.register(lambda: (print("after"), os.write(2, b"after too\\n")))
        """
    )
    assert lines(ran) == [("stdout", "inside")]
    assert ran.stdout == "after\n"
    assert ran.stderr == "after too\n"


def test_what_outlives_its_task(run_inside: Run) -> None:
    """A subprocess that goes on printing prints into no other task, is not held up, and ends as it would."""
    ran = run_inside(
        """
        import os, subprocess, sys, time
        from spanbook.capture import _capture
        code = "print('mine', flush=True); open('printed', 'w').close(); input()\\n" + (
            "for n in range(100_000): print('stray', n)")
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not os.path.exists("printed"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        output = _capture.output
        _capture.end()
        _capture.begin(output)  # the next task
        child.communicate(b"go on\\n", timeout=60)
        print("next", child.returncode)
        subprocess.run(["sh", "-c", "echo by a subprocess"])
        """
    )
    assert [text for _, text in lines(ran)] == ["mine", "next 0", "by a subprocess"]


@pytest.mark.parametrize("to", ["None", "__import__('io').StringIO()"])
def test_replaced_stdout(run_inside: Run, to: str) -> None:
    """A task that puts something else in the place of stdout does so for itself only."""
    ran = run_inside(
        f"""
        import os, sys
        from spanbook.capture import _capture
        sys.stdout = sys.stderr = {to}
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        print("nowhere"); os.system("echo nowhere")
        output = _capture.output
        _capture.end()
        _capture.begin(output)  # the next task
        print("here")
        print("and here", file=sys.stderr)
        os.system("echo by a subprocess")
        """
    )
    assert lines(ran) == [("stdout", "here"), ("stderr", "and here"), ("stdout", "by a subprocess")]


def test_closed_stdout(run_inside: Run) -> None:
    """A task that closes stdout harms nobody."""
    ran = run_inside("import sys\nsys.stdout.close()\nprint('still here')")
    assert lines(ran) == [("stdout", "still here")]


def test_costs_next_to_nothing(run_inside: Run) -> None:
    """An attempt that prints nothing pays microseconds for the capture."""
    ran = run_inside(
        """
        import time
        from spanbook.capture import _capture
        from spanbook.output import Output
        from spanbook.emitter import Emitter
        emitter = Emitter("ab" * 16, "cd" * 8, lambda batch: None)
        mine = _capture.output
        began = time.perf_counter()
        for _ in range(1000):
            _capture.begin(Output(emitter)); _capture.end()
        took = time.perf_counter() - began
        _capture.begin(mine)
        print(took)
        """
    )
    assert float(ran.attempt.logs[-1].text) < 0.5  # 20 µs each on a quiet machine


def test_time_of_a_line(run_inside: Run) -> None:
    """A line bears the time at which it was printed."""
    before = time.time_ns()
    ran = run_inside("print('now')")
    assert before < ran.attempt.logs[0].time < time.time_ns()
