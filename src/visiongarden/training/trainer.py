"""`Trainer`: what `fit` compiles. The model inside stays a plain model without losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from visiongarden.ops.recorded import Recorded
from visiongarden.types import ImageSize


class Trainer(keras.Model):  # noqa: VG101  it is never saved, the model inside is
    """A model with its loss: takes uint8 images and padded targets.

    Args:
        model: takes float images from 0 to 1, returns raw predictions.
        loss: `loss(raw, image_size=size, **targets) -> {term: scalar}`, summed for the gradient;
            the terms named in `loss.terms` are tracked.
        image_size: (height, width) of the images.
    """

    def __init__(self, model: keras.Model, loss: Any, image_size: ImageSize) -> None:
        super().__init__(name="trainer", dtype=model.dtype_policy)
        self.inner, self.judge_raw, self.image_size = model, loss, image_size
        self.trackers = [keras.metrics.Mean(name=term) for term in getattr(loss, "terms", ())]
        self._learning: Any = self._run
        if keras.backend.backend() == "torch":
            self._learning = Recorded(self._run, lambda: model.non_trainable_variables)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Raw predictions for uint8 images (batch, height, width, 3)."""
        dtype = self.compute_dtype
        floats = ops.cast(images, dtype) * ops.cast(1 / 255, dtype)
        return self.forward_floats(floats, training)

    def forward_floats(self, floats: Any, training: bool | None) -> Any:
        """Raw predictions for float images (batch, height, width, 3) from 0 to 1."""
        return self._learning(floats) if training else self.inner(floats, training=training)

    def _run(self, floats: Any) -> Any:
        return self.inner(floats, training=True)

    def feed(self, batches: Iterator[Any]) -> Any:
        """What Keras's `fit` is given for batches (images, targets)."""
        return batches

    def size_of(self, images: Any) -> ImageSize:
        """(height, width) of a batch's images, in pixels."""
        return self.image_size

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Sum of the loss's terms; each term's mean over the epoch is tracked."""
        terms = self.judge_raw(y_pred, image_size=self.size_of(x), **y)
        for tracker in self.trackers:
            tracker.update_state(terms[tracker.name])
        return sum(terms.values())
