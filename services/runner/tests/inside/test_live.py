"""The live view, drawn for terminals of several sizes."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from spanbook import pipeline, task
from spanbook.dag import Graph
from spanbook.live import LiveView
from spanbook_runfile.names import Result

NAMES = ["ingest", "a-task-with-a-name-that-is-longer-than-a-narrow-terminal-is-wide", "summary"]


def graph(count: int) -> Graph:
    """A pipeline of these tasks, so many times over."""
    tasks = [task(name=name)(lambda nr_train_images: None) for name in NAMES]

    @pipeline
    def mnist_digits() -> None:
        for _ in range(count):
            for each in tasks:
                each(nr_train_images=1200)

    made: Graph = mnist_digits.build({})
    return made


def drawn(width: int, height: int, count: int = 1) -> list[str]:
    """The lines of a view with running, failing and waiting tasks."""
    console = Console(width=width, height=height, force_terminal=True, file=io.StringIO())
    view = LiveView(console)
    made = graph(count)
    nodes = made.tasks
    view.run_started("0123456789abcdef" * 2, made)
    outcome = SimpleNamespace(
        running=1, end=2_500_000_001, error_type="ValueError", error_message="no\nsecond line" * 99
    )
    ended: Any = SimpleNamespace(attempt=SimpleNamespace(node=nodes[1], number=2), outcome=outcome)
    begun: Any = SimpleNamespace(node=nodes[0], number=1)
    view.attempt_started(begun)
    view.attempt_ended(ended, 3.0)
    with console.capture() as capture:
        console.print(view._draw())
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [30, 69, 70, 200])
def test_a_task_is_a_line(width: int) -> None:
    """However narrow the terminal and however long names and errors are; the try and time are there."""
    lines = drawn(width, 40)
    assert len(lines) == 1 + len(NAMES)
    assert "try 2" in lines[2]
    assert "2.5 s" in lines[2]
    assert ("again in 3 s" in lines[2] or "ValueError" in lines[2]) is (width >= 70)


def test_what_matters_most_is_shown_where_not_all_fits() -> None:
    """With more tasks than lines those that run or fail come first, and the rest is counted."""
    lines = drawn(100, 10, count=20)
    assert len(lines) <= 10
    assert "running" in lines[1]
    assert "retrying" in lines[2]
    assert "54 more" in lines[-1]
    assert Result.SUCCESS not in "".join(lines)
