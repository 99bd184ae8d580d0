"""Temporary folders: one a process, and none left behind."""

import subprocess
import sys

from spanbook.scratch import Scratch, sweep

LEAVE = """
import os, sys
from spanbook.scratch import Scratch
print(Scratch().path, flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
os._exit(9)
"""


def start(how):
    """A process that makes a folder, and dies without removing it."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_a_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path):
    """A folder goes when its process was killed; those of living processes, ours too, stay."""
    from pathlib import Path

    dead, left = start("die")
    dead.communicate(timeout=60)
    living, used = start("wait")
    own = Scratch()
    assert Path(left).exists()
    sweep()
    assert not Path(left).exists()
    assert Path(used).exists()
    assert own.path.exists()
    living.communicate(timeout=60)
    sweep()
    assert not Path(used).exists()
    own.close()
    assert not own.path.exists()
