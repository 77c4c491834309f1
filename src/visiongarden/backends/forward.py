"""Forward passes of a model, compiled by each backend.

**Why.** Called layer by layer, a model waits for Python between its operations, and Keras's
`predict` compiles the model alone, without the decoding of its outputs. **Gain:** PyTorch: captured
passes, with `kernel_layout` and `resampling`, inference ×1.25 (benchmarks/RESULTS.md, Speed).
**Switch:** `captured_inference`, for layers that are called one by one on PyTorch. Off with an
untested version of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops

from visiongarden.backends.captured import Captured
from visiongarden.backends.distribution import local
from visiongarden.backends.switches import is_on
from visiongarden.backends.tracing import counted_alone, traced_once
from visiongarden.backends.xla import compiled_by_jax

Forward: TypeAlias = Callable[[Any], dict[str, Any]]


def compiled(
    forward: Forward, model: keras.Model, shape: tuple[int | None, ...], dtype: str
) -> Forward:
    """Compile a function of images that calls a model.

    Args:
        forward: Function of images that returns arrays by name.
        model: Model that it calls. Its current weights are used at each call.
        shape: Shape of the images, (None, height, width, channels).
        dtype: Dtype of the images.

    Returns:
        A function of images as NumPy arrays.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(forward, shape, dtype)
    return _jax(forward, model) if backend == "jax" else _torch(forward)


def _tensorflow(forward: Forward, shape: tuple[int | None, ...], dtype: str) -> Forward:
    import tensorflow as tf

    # A separate `tf.function` with an open batch size: TensorFlow warns about many traces. Without
    # AutoGraph, as in Keras: Python's control flow stays as it is, and rewriting the code would
    # double the time of a trace.
    traced: Forward = tf.function(
        counted_alone(forward), [tf.TensorSpec(shape, dtype)], autograph=False
    )
    return traced


def _jax(forward: Forward, model: keras.Model) -> Forward:
    # Compiled from the first image on: operation by operation, JAX needs longer than it does for
    # compiling, even for a single image.
    @compiled_by_jax
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
        # Each process evaluates different images.
        [local(v.value) for v in model.trainable_variables],
        [local(v.value) for v in model.non_trainable_variables],
        images,
    )


def _torch(forward: Forward) -> Forward:
    import torch

    run = Captured(forward) if is_on("captured_inference") else forward

    def without_gradients(images: Any) -> Any:
        with torch.no_grad():
            return run(ops.convert_to_tensor(images))

    return without_gradients


def compiled_function(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Compile a function of two trees of arrays that uses no variables, such as a loss.

    It is compiled again for each new shape. On PyTorch it runs as it is, without gradients.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return traced_once(function)
    if backend == "jax":
        return compiled_by_jax(function)

    def without_gradients(one: Any, other: Any) -> Any:
        import torch

        with torch.no_grad():
            return function(*keras.tree.map_structure(ops.convert_to_tensor, (one, other)))

    return without_gradients
