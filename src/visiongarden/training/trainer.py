"""`Trainer`: a model with its loss, for training at several image sizes.

At one size, `fit` trains the model itself. The wrapper takes loss, metrics and optimizer instead,
so that the model inside and its copies for the other sizes stay plain models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from visiongarden.backends.jax_step import JaxStep, compiles_steps
from visiongarden.backends.torch_step import TorchStep, captures_steps
from visiongarden.losses import Loss, quotients
from visiongarden.models import Joined
from visiongarden.types import ImageSize, RawPredictions, Tensor


class Trainer(keras.Model):  # noqa: VG101  it is never saved, the model inside is
    """Model together with its loss; takes images as stored and padded targets.

    Args:
        model: Model that takes images and returns raw predictions.
        loss: Loss. The gradient is that of the sum of its terms, each divided by its count; the
            terms are tracked as metrics.
        image_size: (height, width) of the images in pixels.
    """

    def __init__(self, model: Joined, loss: Loss, image_size: ImageSize) -> None:
        # Without `autocast=False`, images that are floats would be cast to half precision here.
        super().__init__(name="trainer", dtype=model.dtype_policy, autocast=False)
        self.inner, self.loss_function, self.image_size = model, loss, image_size
        self.trackers = [keras.metrics.Mean(name=term) for term in loss.terms]
        self._backend_step: Callable[..., Any] | None = None
        self.built = True  # the inner model already has its variables

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configure the model for training, as `keras.Model.compile` does.

        A captured or compiled step of an earlier `compile` is discarded. On JAX,
        `jit_compile=True` compiles the step with `JaxStep` instead of Keras.
        """
        self._backend_step = self._make_jax_step(kwargs)
        if self._backend_step is not None:
            kwargs["jit_compile"] = False  # Keras would compile the compiled step once more
        super().compile(*args, **kwargs)
        if captures_steps():
            self._backend_step = TorchStep(self)

    def _make_jax_step(self, options: dict[str, Any]) -> Callable[..., Any] | None:
        compiled = options.get("jit_compile") is True and not options.get("run_eagerly")
        return JaxStep(super().train_step) if compiled and compiles_steps() else None

    def train_step(self, *arguments: Any) -> Any:
        """Run one step: captured on PyTorch, compiled by `JaxStep` on JAX, else Keras's own."""
        return (
            super().train_step(*arguments)
            if self._backend_step is None
            else self._backend_step(*arguments)
        )

    def step_inputs(self, images: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Return what the model takes in a training step, the images."""
        return images

    def call(self, images: Tensor, training: bool | None = None) -> RawPredictions:
        """Return raw predictions for images (batch, height, width, channels) as stored."""
        # Batches reach the device as stored, as uint8 in a quarter of the bytes of float32.
        raw: RawPredictions = self.inner(images, training=training)
        return raw

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save the model inside; callbacks such as `ModelCheckpoint` call this method."""
        self.inner.save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save the weights of the model inside."""
        self.inner.save_weights(filepath, *args, **kwargs)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Load the weights of the model inside."""
        self.inner.load_weights(filepath, *args, **kwargs)

    def size_of(self, images: Tensor) -> ImageSize:
        """Return the (height, width) of a batch's images in pixels."""
        return self.image_size

    def compute_loss(
        self,
        x: Tensor,
        y: dict[str, Tensor],
        y_pred: RawPredictions,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """Return the total loss of a batch, and add each term to its mean over the epoch.

        The total is the sum of the loss's terms and of the losses that layers add (`add_loss`,
        regularizers).

        Args:
            x: Images (batch, height, width, channels), pixel values as stored.
            y: Targets of the loss, by name.
            y_pred: Raw predictions for the images.
            sample_weight: Ignored.
            training: Ignored.

        Returns:
            A scalar.
        """
        terms, total = self.compute_terms(x, y, y_pred)
        self.track(terms)
        return total

    def compute_terms(
        self, x: Tensor, y: dict[str, Tensor], y_pred: RawPredictions
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the terms of the loss, and their sum with the losses that layers add.

        Nothing is tracked here: the captured PyTorch step computes the gradient from this result,
        and updates the metrics outside the autograd graph.
        """
        found = self.loss_function(y_pred, y, self.inner.context(self.size_of(x)))
        terms = quotients(found)
        total: Any = sum([*terms.values(), *(ops.cast(x, "float32") for x in self.losses)])
        return terms, total

    def track(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of a batch to their means over the epoch."""
        for tracker in self.trackers:
            tracker.update_state(terms[tracker.name])
