"""Ingest hand-written digits, train models of growing size, and see what more images are worth."""

from spanbook import notebook_task, pipeline
from tasks import ingest, split_train_test, train_model

eda = notebook_task("notebooks/eda.py")
benchmark_model = notebook_task("notebooks/benchmark-model.py")
summary = notebook_task("notebooks/summary.py")


@pipeline
def mnist_digits(train_sizes: list[int] = [400, 500, 600]) -> None:
    """One model and one benchmark for each training-set size; all of them run in parallel."""
    digits = ingest()
    eda(digits=digits)
    split = split_train_test(digits, train_ratio=0.7)
    scores = [
        benchmark_model(trained=train_model(split, n), nr_train_images=n) for n in train_sizes
    ]
    summary(scores=scores)
