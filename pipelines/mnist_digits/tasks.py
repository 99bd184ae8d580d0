"""The demo's Python tasks: plain functions, which also just run when called by hand.

Heavy libraries are imported where they are used, so that drawing the DAG costs none of them.
"""

import warnings
from typing import NamedTuple

import numpy as np
from spanbook import log, task

SEED = 42
MODEL_INPUT = {  # what a page must know to let its reader draw a digit and ask the model
    "name": "X",
    "shape": [None, 64],
    "dtype": "float32",
    "range": [0, 16],
    "image": [8, 8],
}


class Digits(NamedTuple):
    """Images (n, 8, 8) of greys from 0 to 16, and the digit (n,) that each shows."""

    images: np.ndarray
    labels: np.ndarray


class Split(NamedTuple):
    """Digits to learn from, and digits to be judged by."""

    train: Digits
    test: Digits


class Trained(NamedTuple):
    """A model as ONNX, and the digits that it has never seen."""

    onnx: bytes
    test: Digits


@task(retries=15, timeout=10)
def ingest() -> Digits:
    """Load scikit-learn's 1797 hand-written digits; as from any far-off source, with retries."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    log.value("nr_images", len(labels))
    return Digits(images.reshape(-1, 8, 8).astype(np.float32), labels)


@task
def split_train_test(digits: Digits, train_ratio: float) -> Split:
    """Shuffle, and keep each digit's share the same in both parts."""
    from sklearn.model_selection import train_test_split

    train_images, test_images, train_labels, test_labels = train_test_split(
        *digits, train_size=train_ratio, stratify=digits.labels, random_state=SEED
    )
    log.value("nr_train_images", len(train_labels))
    log.value("nr_test_images", len(test_labels))
    return Split(Digits(train_images, train_labels), Digits(test_images, test_labels))


@task
def train_model(split: Split, nr_train_images: int) -> Trained:
    """Train a linear support vector machine on the first images, and export it to ONNX.

    ``SVC(probability=True)`` is deprecated since scikit-learn 1.9; a calibrated SVC is what its
    authors name in its place, and it needs no seed: its folds are not shuffled.
    """
    from skl2onnx import to_onnx
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    images, labels = (part[:nr_train_images] for part in split.train)
    pixels = images.reshape(-1, 64)
    model = CalibratedClassifierCV(SVC(kernel="linear", C=0.001), ensemble=False)
    model.fit(pixels, labels)
    log.metric("train_accuracy", model.score(pixels, labels))

    with warnings.catch_warnings():  # skl2onnx still looks at what scikit-learn has deprecated
        warnings.filterwarnings("ignore", "Attribute `prob", FutureWarning)
        onnx = to_onnx(model, pixels[:1], options={"zipmap": False}).SerializeToString()
    log.model("model.onnx", onnx, input=MODEL_INPUT)
    return Trained(onnx, split.test)
