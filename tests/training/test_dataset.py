"""TensorFlow's dataset yields the batches in order, without an autotuning thread."""

import keras
import numpy as np
import pytest

from visiongarden.backends.tf_dataset import open_dataset

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has these datasets"
)


def batches(*sizes, count=2):
    for number, size in enumerate(sizes):
        images = np.full((count, size, 8, 3), number, np.uint8)
        yield images, {"classes": np.full((count, 4), number, np.int32)}


def read(dataset):
    return [(images.numpy(), targets["classes"].numpy()) for images, targets in dataset]


@pytest.mark.parametrize(
    ("sizes", "vary", "sides"),
    [((8, 8, 8), False, (8, 8)), ((8, 16, 4), False, (None, 8)), ((8, 8, 4), True, (None, None))],
)
def test_batches_come_in_order(sizes, vary, sides):
    dataset = open_dataset(batches(*sizes), sizes_vary=vary)
    assert tuple(dataset.element_spec[0].shape[1:3]) == sides
    assert dataset.element_spec[0].shape[0] is None
    for found, expected in zip(read(dataset), batches(*sizes), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1]["classes"])


def test_one_batch_is_enough():
    assert len(read(open_dataset(batches(8)))) == 1


def test_an_error_of_the_source_is_raised():
    def broken():
        yield from batches(8, 8, 8)
        raise ValueError("the third image is missing")

    with pytest.raises(Exception, match="the third image is missing"):
        read(open_dataset(broken()))


def test_the_autotuning_thread_is_disabled():
    assert open_dataset(batches(8)).options().autotune.enabled is False
