"""The command: its help, its errors, and its documentation."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from spanbook_collector.settings import parse, parser

README = Path(__file__).parents[1] / "README.md"


def _run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    import os

    return subprocess.run(
        [sys.executable, "-m", "spanbook_collector.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )


def test_every_flag_and_variable_is_in_the_readme_and_the_reverse() -> None:
    """The help, the README and the code name the same flags and variables."""
    told = parser().format_help()
    shown = README.read_text()
    pattern = r"--[a-z][a-z-]+|SPANBOOK_[A-Z_]+"
    in_help = set(re.findall(pattern, re.sub(r"-\n\s+", "-", told))) - {"--help", "--version"}
    table = "\n".join(line for line in shown.splitlines() if line.startswith("| `--"))
    assert set(re.findall(pattern, table)) == in_help


def test_a_flag_wins_over_its_variable(tmp_path) -> None:
    """Flags, then variables, then defaults; sizes take units."""
    environ = {
        "SPANBOOK_OTLP_HTTP_PORT": "1",
        "SPANBOOK_OUTPUTS": str(tmp_path),
        "SPANBOOK_GRACE": "2.5",
    }
    settings = parse(["--http-port", "2", "--max-run-bytes", "1.5G", "--late", "/x"], environ)
    assert (settings.http_port, settings.grpc_port, settings.grace) == (2, 4317, 2.5)
    assert settings.max_run_bytes == 3 << 29
    assert (settings.runs, settings.late) == (tmp_path / "runs", Path("/x"))


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (["--grpc-port", "99999"], {}, "--grpc-port is '99999'; it takes a port"),
        ([], {"SPANBOOK_IDLE": "soon"}, "SPANBOOK_IDLE is 'soon'; it takes a number of seconds"),
        (
            [],
            {"SPANBOOK_FSYNC": "maybe"},
            "SPANBOOK_FSYNC is 'maybe'; it takes one of always, never",
        ),
        (["--nonsense"], {}, "unrecognized arguments"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(arguments, environ, told) -> None:
    """Exit code 2, with the flag or variable, what was given and what it takes."""
    done = _run(*arguments, **environ)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_port_in_use_is_told_with_the_way_out(tmp_path) -> None:
    """Exit code 1, naming the port and the flag and variable that move it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for flag, variable, other in (
            ("--grpc-port", "SPANBOOK_OTLP_GRPC_PORT", "--http-port=0"),
            ("--http-port", "SPANBOOK_OTLP_HTTP_PORT", "--grpc-port=0"),
        ):
            done = _run("--outputs", str(tmp_path), flag, port, other)
            assert done.returncode == 1
            for word in (port, flag, variable):
                assert word in done.stderr
