"""`Predictor`: images -> what the model finds, with the model compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.errors import UserError
from visiongarden.ops.recorded import Recorded
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize


class Predictor:
    """Runs a model on batches; follows the model's weights as they change.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`.
        image_size: (height, width) of the batches; by default the model's.
        postprocess: one image's decoded arrays -> what was found; by default that of the model's
            task (for detection an `Nms`).

    Raises:
        UserError: neither the model nor the caller says an image size.
    """

    def __init__(
        self, model: Any, image_size: ImageSize | None = None, postprocess: Any = None
    ) -> None:
        self.model = model
        task = task_of(model)
        self.postprocess = postprocess or task.postprocess(model, task.score)
        self.image_size = image_size or model.image_size
        if self.image_size is None:
            raise UserError(
                "the model takes images of any size", rule="say which", fix="image_size=(640, 640)"
            )
        self._decode = model.parts.head.decode()
        self._run = _compiled(model, self._forward, self.image_size)

    def __call__(self, images: np.ndarray) -> list[Any]:
        """What is found in uint8 images (batch, height, width, 3), in pixels of these images."""
        return [self.postprocess(*row) for row in zip(*self.raw(images), strict=True)]

    def raw(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """The head's decoded arrays, in the order of the task's `outputs`.

        Detection: boxes (batch, n, 4) and scores (batch, n, classes) before thinning.
        Classification: scores (batch, classes). Segmentation: scores (batch, h, w, classes).
        """
        return tuple(ops.convert_to_numpy(array) for array in self._run(images))

    def _forward(self, images: Any) -> tuple[Any, ...]:
        dtype = self.model.compute_dtype
        floats = ops.cast(images, dtype) * ops.cast(1 / 255, dtype)
        found: tuple[Any, ...] = self._decode(self.model(floats, training=False), self.image_size)
        return found


def _compiled(
    model: keras.Model, forward: Callable[[Any], Any], size: ImageSize
) -> Callable[[np.ndarray], Any]:
    """`forward` as each backend runs it fastest; the weights are inputs, never constants."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # A function of its own, of any batch: TensorFlow counts traces by function, and warns.
        @tf.function(input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8)])
        def traced(images: Any) -> Any:
            return forward(images)

        return traced
    if backend == "jax":
        import jax

        @jax.jit
        def pure(trainable: Any, others: Any, images: Any) -> Any:
            pairs = [
                *zip(model.trainable_variables, trainable, strict=True),
                *zip(model.non_trainable_variables, others, strict=True),
            ]
            with keras.StatelessScope(state_mapping=pairs):
                return forward(images)

        return lambda images: pure(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            images,
        )
    import torch

    recorded = Recorded(forward)

    def without_gradients(images: np.ndarray) -> Any:
        with torch.no_grad():
            return recorded(ops.convert_to_tensor(images))

    return without_gradients
