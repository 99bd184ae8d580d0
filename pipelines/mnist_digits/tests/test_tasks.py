from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest


@pytest.fixture
def tasks() -> ModuleType:
    """The demo's tasks, fresh."""
    import tasks

    return tasks


def test_ingest_gives_every_digit(tasks: ModuleType) -> None:
    """The data are 8 by 8 greys from 0 to 16, and all ten digits are there."""
    images, labels = tasks.ingest()
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max()) == (0, 16)
    assert set(labels) == set(range(10))


def test_split_keeps_shares_and_loses_nothing(tasks: ModuleType) -> None:
    """70 % of each digit are for training, and each image is in exactly one part."""
    digits = tasks.ingest()
    train, test = tasks.split_train_test(digits, train_ratio=0.7)
    assert len(train.labels) == 1257
    assert len(test.labels) == 540
    shares = np.bincount(train.labels) / np.bincount(digits.labels)
    assert shares == pytest.approx(0.7, abs=0.01)
    both = np.concatenate([train.images, test.images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, digits.images))


def test_split_is_the_same_every_time(tasks: ModuleType) -> None:
    """Two runs compare models on the same test images."""
    first, second = (tasks.split_train_test(tasks.ingest(), train_ratio=0.7) for _ in range(2))
    assert (first.test.images == second.test.images).all()


def test_model_is_onnx_with_probabilities(tasks: ModuleType) -> None:
    """The exported model is valid ONNX, gives probabilities as a plain tensor, and is any good."""
    split = tasks.split_train_test(tasks.ingest(), train_ratio=0.7)
    trained = tasks.train_model(split, nr_train_images=400)
    onnx.checker.check_model(onnx.load_model_from_string(trained.onnx))
    session = onnxruntime.InferenceSession(trained.onnx)
    pixels = trained.test.images.reshape(-1, 64)
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: pixels})
    assert probabilities.shape == (540, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (labels == trained.test.labels).mean() > 0.9


def test_training_is_reproducible(tasks: ModuleType) -> None:
    """The same images give the same model, byte for byte."""
    split = tasks.split_train_test(tasks.ingest(), train_ratio=0.7)
    assert tasks.train_model(split, 400).onnx == tasks.train_model(split, 400).onnx
