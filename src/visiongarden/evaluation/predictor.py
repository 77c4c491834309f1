"""`Predictor`: images -> detections, with the model compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.errors import UserError
from visiongarden.postprocess import Nms, thinning
from visiongarden.types import Detections, ImageSize

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""COCO's protocol wants every detection, down to the faintest."""


class Predictor:
    """Runs a detector on batches; follows the model's weights as they change.

    Args:
        model: a `Detector`.
        image_size: (height, width) of the batches; by default the model's.
        nms: how overlapping boxes are thinned out; a head that finds each object once takes only
            its bounds on score and number.

    Raises:
        UserError: neither the model nor the caller says an image size.
    """

    def __init__(
        self, model: Any, image_size: ImageSize | None = None, nms: Nms | None = None
    ) -> None:
        self.model = model
        self.image_size = image_size or model.image_size
        if self.image_size is None:
            raise UserError(
                "the model takes images of any size", rule="say which", fix="image_size=(640, 640)"
            )
        self._decode = model.parts.head.decode()
        self.nms = thinning(self._decode, nms or Nms())
        self._run = _compiled(model, self._forward, self.image_size)

    def __call__(self, images: np.ndarray) -> list[Detections]:
        """Detections of uint8 images (batch, height, width, 3), in pixels of these images."""
        boxes, scores = self.raw(images)
        return [self.nms(*row) for row in zip(boxes, scores, strict=True)]

    def raw(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (batch, n, 4) and scores (batch, n, classes) before thinning."""
        boxes, scores = self._run(images)
        return ops.convert_to_numpy(boxes), ops.convert_to_numpy(scores)

    def _forward(self, images: Any) -> tuple[Any, Any]:
        dtype = self.model.compute_dtype
        floats = ops.cast(images, dtype) * ops.cast(1 / 255, dtype)
        found: tuple[Any, Any] = self._decode(self.model(floats, training=False), self.image_size)
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

    def without_gradients(images: np.ndarray) -> Any:
        with torch.no_grad():
            return forward(images)

    return without_gradients
