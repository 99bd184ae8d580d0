"""The README's example: throw dice, a task for each number of dice, and compare in a notebook."""

import random

import matplotlib.pyplot as plt
from spanbook import log, notebook_task, pipeline, task


@task
def throw(dice: int, times: int = 1000) -> list[int]:
    """Throw so many dice so many times, and give the totals."""
    totals = [sum(random.randint(1, 6) for _ in range(dice)) for _ in range(times)]  # noqa: S311
    log.metric("mean", sum(totals) / times)
    fig, ax = plt.subplots()
    ax.hist(totals)
    log.figure("totals.png", fig)
    return totals


compare = notebook_task("notebooks/compare.py")


@pipeline
def hello(dice: list[int] = [1, 2, 3]) -> None:
    """One throw task for each number of dice, all in parallel, then the notebook."""
    compare(throws=[throw(n) for n in dice])
