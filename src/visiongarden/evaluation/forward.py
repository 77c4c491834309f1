"""Compiled forward passes of a model, one per image size, cached on the model."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from visiongarden.backends.captured import Captured
from visiongarden.backends.garbage import gc_paused
from visiongarden.backends.xla import compiler_options
from visiongarden.evaluation.decoding import decoding_of
from visiongarden.models.kinds import WithSignature, preprocessing_of
from visiongarden.types import ImageSize

Forward: TypeAlias = Callable[[np.ndarray], dict[str, Any]]

MAX_SIZES = 8
"""Maximum number of image sizes with a cached forward pass; the least recently used is dropped."""

_ATTRIBUTE = "_visiongarden_forwards"
_LOCK = threading.Lock()


def forward_of(model: Any, size: ImageSize) -> Forward:
    """Return the compiled forward pass of a model for one image size, decoding included.

    The pass is compiled once per model and size, cached on the model, and uses the model's current
    weights at each call.

    Args:
        model: A model.
        size: (height, width) of the images.

    Returns:
        A function of images (batch, height, width, channels), of the type of the model's
        preprocessing, that returns the head's decoded arrays by name.
    """
    if isinstance(model, WithSignature):
        run: Forward = model.at_size(size)
        return run
    with _LOCK:
        cache: OrderedDict[Any, Forward] = vars(model).get(_ATTRIBUTE) or OrderedDict()
        # `object.__setattr__` avoids Keras's tracking of attributes. Stored on the model and not in
        # a global cache, so that compiled code is freed together with the model.
        object.__setattr__(model, _ATTRIBUTE, cache)
        # A compiled pass contains the numbers of the preprocessing, which weights may replace.
        key = (size, preprocessing_of(model))
        if key not in cache:
            cache[key] = _BACKENDS[keras.backend.backend()](model, size)
        cache.move_to_end(key)
        while len(cache) > MAX_SIZES:
            cache.popitem(last=False)
        return cache[key]


def _plain(model: Any, size: ImageSize) -> Forward:
    decode = decoding_of(model)

    # The model is not fused first: for a single image, folding takes longer than it saves.
    def forward(images: Any) -> dict[str, Any]:
        with gc_paused():  # mostly runs while tracing, which makes many objects and no garbage
            return decode(model(images, training=False), size)

    return forward


def _tensorflow(model: Any, size: ImageSize) -> Forward:
    import tensorflow as tf

    # A separate `tf.function` with an open batch size: TensorFlow counts traces per function and
    # warns about many. Without AutoGraph, as in Keras: Python's control flow stays as it is, and
    # rewriting the code would double the time of a trace.
    preprocessing = preprocessing_of(model)
    signature = [tf.TensorSpec((None, *size, preprocessing.channels), preprocessing.dtype)]
    traced: Forward = tf.function(_plain(model, size), signature, autograph=False)
    return traced


def _jax(model: Any, size: ImageSize) -> Forward:
    import jax

    forward = _plain(model, size)

    # Compiled from the first image on: operation by operation, JAX needs longer than it does for
    # compiling, even for a single image.
    @functools.partial(jax.jit, compiler_options=compiler_options())
    def pure(trainable: Any, others: Any, images: Any) -> Any:
        pairs = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, others, strict=True),
        ]
        with keras.StatelessScope(state_mapping=pairs):
            return forward(images)

    # Weights are arguments: as constants they would be compiled into the program, which would then
    # ignore later updates and need the memory of the weights a second time.
    return lambda images: pure(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        images,
    )


def _torch(model: Any, size: ImageSize) -> Forward:
    import torch

    forward = Captured(_plain(model, size))

    def without_gradients(images: np.ndarray) -> Any:
        with torch.no_grad():
            return forward(ops.convert_to_tensor(images))

    return without_gradients


_BACKENDS: dict[str, Callable[[Any, ImageSize], Forward]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
