"""`MultiScaleTrainer`: train one model on batches of several image sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.losses import Loss
from visiongarden.models import Joined
from visiongarden.training.size_variants import SizeVariants
from visiongarden.training.trainer import Trainer
from visiongarden.types import ImageSize, RawPredictions, Tensor


class MultiScaleTrainer(Trainer):  # noqa: VG101  it is never saved, the model inside is
    """`Trainer` whose batches differ in image size (Redmon & Farhadi 2017, YOLOv2, section 2).

    Each size is traced separately with all shapes known, as losses and parts require. The traces
    share the weights and the optimizer.

    Args:
        model: Model that takes images and returns raw predictions.
        loss: Loss as in `Trainer`; the image size of its context is that of the batch.
        image_size: (height, width) of the model's own images in pixels.
        sizes: Image sizes of the batches.

    Raises:
        UserError: The model cannot be built with the same weights at one of the sizes.
    """

    train_function: Callable[[Any], Any] | None  # set by Keras

    def __init__(
        self, model: Joined, loss: Loss, image_size: ImageSize, sizes: Iterable[ImageSize]
    ) -> None:
        super().__init__(model, loss, image_size)
        self.variants = SizeVariants(model, sizes)

    def call(self, images: Tensor, training: bool | None = None) -> RawPredictions:
        """Return raw predictions for images as stored, (batch, height, width, channels)."""
        return self.variants(images, self.size_of(images), training)

    def size_of(self, images: Tensor) -> ImageSize:
        """Return the (height, width) of a batch's images in pixels."""
        height, width = images.shape[1:3]
        return height, width

    def make_train_function(self, force: bool = False) -> Any:
        """Make the function that Keras calls for each step.

        On TensorFlow one function is traced per size. Keras's single function would relax the
        differing shapes to unknown ones after the second size.

        Raises:
            UserError: Several TensorFlow devices are in use.
        """
        if keras.backend.backend() != "tensorflow":
            return super().make_train_function(force)
        if force or self.train_function is None:
            replicas = self.distribute_strategy.num_replicas_in_sync
            if replicas > 1:
                raise UserError(
                    "multi-scale training cannot run on several TensorFlow devices",
                    rule="one device per process, or another backend",
                    received=f"{replicas} devices",
                    fix="training.multi_scale=0",
                )
            self.train_function = self._make_step_per_size()
        return self.train_function

    def _make_step_per_size(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        steps: dict[ImageSize, Any] = {}

        def step(iterator: Any) -> Any:
            data = next(iterator)
            size = self.size_of(data[0])
            if size not in steps:
                # A separate `tf.function` per size: TensorFlow warns about a function that it
                # traces many times.
                steps[size] = tf.function(
                    lambda data: self.train_step(data), jit_compile=self.jit_compile
                )
            return steps[size](data)

        return step
