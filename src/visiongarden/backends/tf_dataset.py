"""`open_dataset`: batches as a `tf.data.Dataset` for TensorFlow's training loop.

**Why.** Keras would make a dataset as well, but with tf.data's autotuning thread, which may delay
the end of an epoch. **Gain:** without it, two or three of seven turns of an epoch took 5.15 s, and
none of 24 turns since (benchmarks/RESULTS.md, Speed). **Switch:** `tf_dataset`, for the dataset of
Keras.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def open_dataset(batches: Iterator[Any], sizes_vary: bool = False) -> tf.data.Dataset:
    """Return a dataset that prepares one batch ahead of the step.

    Args:
        batches: Trees of arrays, at least one. The batch dimension is always left open, and so are
            dimensions that differ between the first two batches.
        sizes_vary: Whether to leave every dimension open.
    """
    import tensorflow as tf

    first_batches = list(itertools.islice(batches, 2))

    def spec(*arrays: np.ndarray) -> tf.TensorSpec:
        dimensions = [
            None if sizes_vary or len(set(sizes)) > 1 else sizes[0]
            for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)
        ]
        return tf.TensorSpec([None, *dimensions], arrays[0].dtype)

    signature = keras.tree.map_structure(spec, *first_batches)
    all_batches = itertools.chain(first_batches, batches)
    dataset = tf.data.Dataset.from_generator(lambda: all_batches, output_signature=signature)
    options = tf.data.Options()
    # tf.data's autotuning thread doubles its sleep each time (from 10 ms). It sometimes misses the
    # signal that the dataset has ended, and training waits for it: 5 s measured, longer in a long
    # epoch.
    options.autotune.enabled = False
    return dataset.prefetch(1).with_options(options)
