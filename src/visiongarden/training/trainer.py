"""`Trainer`: what `fit` compiles. The model inside stays a plain model without losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras
from keras import ops

from visiongarden.training.ahead import ahead
from visiongarden.training.dataset import open_dataset
from visiongarden.training.jax_step import JaxStep
from visiongarden.training.statistics import Beginning
from visiongarden.training.torch_step import TorchStep
from visiongarden.types import ImageSize


class Trainer(keras.Model):  # noqa: VG101  it is never saved, the model inside is
    """A model with its loss: takes uint8 images and padded targets.

    Args:
        model: takes float images from 0 to 1, returns raw predictions.
        loss: `loss(raw, image_size=size, **targets) -> {term: scalar}`, summed for the gradient;
            the terms named in `loss.terms` are tracked.
        image_size: (height, width) of the images.
    """

    sizes_vary: ClassVar[bool] = False
    """Whether batches differ in size; Keras would read the shapes of all off the first two."""

    def __init__(self, model: keras.Model, loss: Any, image_size: ImageSize) -> None:
        super().__init__(name="trainer", dtype=model.dtype_policy)
        self.inner, self.judge_raw, self.image_size = model, loss, image_size
        self.beginning = Beginning(model)
        self.trackers = [keras.metrics.Mean(name=term) for term in getattr(loss, "terms", ())]
        self._own_step: Callable[..., Any] | None = None
        self.built = True

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As Keras's; a step that was recorded is forgotten.

        On JAX `jit_compile` compiles as `JaxStep` does.
        """
        self._own_step = self._compiled_by_jax(kwargs)
        if self._own_step is not None:
            kwargs["jit_compile"] = False  # not a second time, by Keras
        super().compile(*args, **kwargs)
        if keras.backend.backend() == "torch":
            self._own_step = TorchStep(self)

    def _compiled_by_jax(self, given: dict[str, Any]) -> Callable[..., Any] | None:
        wanted = given.get("jit_compile") is True and not given.get("run_eagerly")
        if keras.backend.backend() != "jax" or not wanted or keras.distribution.distribution():
            return None
        return JaxStep(super().train_step)

    def train_step(self, *given: Any) -> Any:
        """Keras's own; on PyTorch one that is recorded, on JAX one that is compiled quicker."""
        return super().train_step(*given) if self._own_step is None else self._own_step(*given)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Raw predictions for uint8 images (batch, height, width, 3)."""
        dtype = self.compute_dtype
        floats = ops.cast(images, dtype) * ops.cast(1 / 255, dtype)
        return self.forward_floats(floats, training)

    def forward_floats(self, floats: Any, training: bool | None) -> Any:
        """Raw predictions for float images (batch, height, width, 3) from 0 to 1."""
        return self.inner(floats, training=training)

    def feed(self, batches: Iterator[Any]) -> Any:
        """What Keras's `fit` is given for batches (images, targets)."""
        if keras.backend.backend() == "tensorflow":
            return open_dataset(batches, self.sizes_vary)
        return ahead(batches)

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
        """Sum of the loss's terms and of what layers add; each term's mean is tracked."""
        terms, total = self.judged(x, y, y_pred)
        self.track(terms)
        return total

    def judged(self, x: Any, y: Any, y_pred: Any) -> tuple[dict[str, Any], Any]:
        """The loss's terms, and their sum with the losses that layers add themselves."""
        terms = self.judge_raw(y_pred, image_size=self.size_of(x), **y)
        return terms, sum([*terms.values(), *(ops.cast(x, "float32") for x in self.losses)])

    def track(self, terms: dict[str, Any]) -> None:
        """Adds the terms of a batch to their means over the epoch."""
        for tracker in self.trackers:
            tracker.update_state(terms[tracker.name])
