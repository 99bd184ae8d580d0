"""Throw dice, and see how their totals spread."""

import random

import matplotlib.pyplot as plt
from spanbook import log, notebook_task, pipeline, task

compare = notebook_task("notebooks/compare.py")


@task(retries=2, timeout=60)
def throw(dice: int, times: int = 1000) -> list[int]:
    totals = [sum(random.choices(range(1, 7), k=dice)) for _ in range(times)]
    log.metric("mean", sum(totals) / times)
    fig, ax = plt.subplots()
    ax.hist(totals)
    log.figure("totals.png", fig)
    return totals


@pipeline
def hello(dice: list[int] = [1, 2, 3]) -> None:
    compare(throws=throw.map(dice))
