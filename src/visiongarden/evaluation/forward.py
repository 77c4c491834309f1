"""A model's forward pass, compiled once for each size of image and kept with the model."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from visiongarden.backends.garbage import uncollected
from visiongarden.backends.recorded import Recorded
from visiongarden.backends.xla import compiler_options
from visiongarden.evaluation.decoding import decoding_of
from visiongarden.types import ImageSize

Forward: TypeAlias = Callable[[np.ndarray], tuple[Any, ...]]

MOST_SIZES = 8
"""Sizes of image that a model keeps a compiled pass for; the one unused for longest gives way."""

_KEPT = "_visiongarden_forwards"
_LOCK = threading.Lock()


def forward_of(model: Any, size: ImageSize) -> Forward:
    """uint8 images (batch, height, width, 3) of one size -> the head's decoded arrays.

    The same function for the same model and size, so that only the first image of a size costs a
    compilation; it follows the model's weights as they change.
    """
    with _LOCK:
        kept: OrderedDict[ImageSize, Forward] = vars(model).get(_KEPT) or OrderedDict()
        # Past Keras's tracking. On the model, so that it goes when the model goes.
        object.__setattr__(model, _KEPT, kept)
        if size not in kept:
            kept[size] = _BACKENDS[keras.backend.backend()](model, size)
        kept.move_to_end(size)
        while len(kept) > MOST_SIZES:
            kept.popitem(last=False)
        return kept[size]


def _plain(model: Any, size: ImageSize) -> Forward:
    decode = decoding_of(model)

    def forward(images: Any) -> tuple[Any, ...]:
        dtype = model.compute_dtype
        with uncollected():  # as a rule this is traced
            floats = ops.cast(images, dtype) * ops.cast(1 / 255, dtype)
            found: tuple[Any, ...] = decode(model(floats, training=False), size)
        return found

    return forward


def _tensorflow(model: Any, size: ImageSize) -> Forward:
    import tensorflow as tf

    # A function of its own, of any batch: TensorFlow counts traces by function, and warns. Python's
    # control flow stays Python's, as in Keras's own; rewriting the code would double the trace.
    signature = [tf.TensorSpec((None, *size, 3), tf.uint8)]
    traced: Forward = tf.function(_plain(model, size), signature, autograph=False)
    return traced


def _jax(model: Any, size: ImageSize) -> Forward:
    import jax

    forward = _plain(model, size)

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def pure(trainable: Any, others: Any, images: Any) -> Any:
        pairs = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, others, strict=True),
        ]
        with keras.StatelessScope(state_mapping=pairs):
            return forward(images)

    # The weights are inputs, never constants.
    return lambda images: pure(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        images,
    )


def _torch(model: Any, size: ImageSize) -> Forward:
    import torch

    forward = Recorded(_plain(model, size))

    def without_gradients(images: np.ndarray) -> Any:
        with torch.no_grad():
            return forward(ops.convert_to_tensor(images))

    return without_gradients


_BACKENDS: dict[str, Callable[[Any, ImageSize], Forward]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
