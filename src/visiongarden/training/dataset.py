"""`open_dataset`: batches as a `tf.data.Dataset`, as TensorFlow's training loop reads them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import keras


def open_dataset(batches: Iterator[Any], sizes_vary: bool = False) -> Any:
    """The batches, one ahead of its step.

    Args:
        batches: trees of arrays, at least one. Sides that differ in the first two are left open,
            and the number of images always.
        sizes_vary: every side is left open.
    """
    import tensorflow as tf

    known = list(itertools.islice(batches, 2))

    def spec(*arrays: Any) -> Any:
        sides = [
            None if sizes_vary or len(set(side)) > 1 else side[0]
            for side in zip(*(array.shape[1:] for array in arrays), strict=True)
        ]
        return tf.TensorSpec([None, *sides], arrays[0].dtype)

    signature = keras.tree.map_structure(spec, *known)
    whole = itertools.chain(known, batches)
    dataset = tf.data.Dataset.from_generator(lambda: whole, output_signature=signature)
    options = tf.data.Options()
    # A thread that tunes sleeps, for twice as long each time. Now and then it does not hear that
    # the data set has ended, and the training waits for it: 5 s, measured, more in a long epoch.
    options.autotune.enabled = False
    return dataset.prefetch(1).with_options(options)
