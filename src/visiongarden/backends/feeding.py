"""Batches in the form in which the training loop of a backend reads them fastest.

**Why.** A backend waits for each batch if nothing prepares the next one during a step. TensorFlow
needs a `tf.data.Dataset` for that, JAX and PyTorch a thread that copies to the accelerator.
**Gain:** see `tf_dataset` and `prefetch`. **Switch:** `tf_dataset` and `prefetch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from visiongarden.backends.distribution import replicas
from visiongarden.backends.prefetch import prefetch
from visiongarden.backends.switches import is_on
from visiongarden.backends.tf_dataset import open_dataset


def feed(batches: Iterator[Any], sizes_vary: bool = False) -> Any:
    """Wrap batches of (images, targets) for Keras's `fit` on the current backend.

    Args:
        batches: Trees of arrays, at least one.
        sizes_vary: Whether the sizes of images differ between batches.
    """
    if keras.backend.backend() == "tensorflow":
        if replicas() > 1:
            from visiongarden.backends import tensorflow_replicas

            return tensorflow_replicas.distributed_dataset(open_dataset(batches, sizes_vary))
        return open_dataset(batches, sizes_vary) if is_on("tf_dataset") else batches
    if keras.distribution.distribution() is not None:
        return (batch for batch in batches)  # Keras divides them among the devices
    return prefetch(batches) if is_on("prefetch") else batches
