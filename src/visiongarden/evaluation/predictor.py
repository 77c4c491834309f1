"""Prediction on batches of images that have the size of the network's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from visiongarden.backends.onednn import warn_without_onednn
from visiongarden.data.model_pixels import check_pixels
from visiongarden.errors import NotFiniteError, UserError
from visiongarden.evaluation.decoding import outputs_of
from visiongarden.evaluation.forward import forward_of
from visiongarden.models.kinds import preprocessing_of
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize


class Predictor:
    """Compiled model with postprocessing; uses the model's current weights at each call.

    The first image of each size compiles the model, which keeps the compiled code of the eight
    sizes used last; a second `Predictor` of the same size therefore costs nothing. To keep compiled
    code between processes, JAX needs `JAX_COMPILATION_CACHE_DIR`.

    Args:
        model: A `Detector`, `Classifier` or `Segmenter`.
        image_size: (height, width) of the batches; by default that of the model.
        postprocess: Function of one image's decoded arrays that returns the result; it is called
            with the arrays of `Task.needed_outputs` as keyword arguments. By default that of the
            model's task (for detection `Nms`).

    Raises:
        UserError: Neither the model nor the caller specifies an image size.
    """

    def __init__(
        self, model: Any, image_size: ImageSize | None = None, postprocess: Any = None
    ) -> None:
        warn_without_onednn()
        self.model = model
        task = task_of(model)
        self._outputs = task.needed_outputs(outputs_of(model))
        self.postprocess = postprocess or task.postprocess(model, task.score)
        self.image_size = image_size or model.image_size
        if self.image_size is None:
            raise UserError(
                "no image size is specified, and the model accepts images of any size",
                fix="image_size=(640, 640)",
            )
        # Only wrapped here; tracing and compiling happen at the first call.
        self._run = forward_of(model, tuple(self.image_size))

    def __call__(self, images: np.ndarray) -> list[Any]:
        """Predict on a batch of images.

        Args:
            images: (batch, height, width, channels), of the model's channels and type.

        Returns:
            One result per image, in pixels of these images.
        """
        return [self.postprocess(**row) for row in self._rows(images)]

    def scored(self, images: np.ndarray) -> list[tuple[Any, float]]:
        """Return the result of `__call__` and the best score of each image.

        The best score is also reported when it is below the threshold.
        """
        best = self._outputs[-1]
        return [
            (self.postprocess(**row), float(row[best].max(initial=0))) for row in self._rows(images)
        ]

    def _rows(self, images: np.ndarray) -> list[dict[str, np.ndarray]]:
        """Return the arrays that the task needs, image by image."""
        found = self.raw(images)
        return [{name: found[name][row] for name in self._outputs} for row in range(len(images))]

    def run(self, images: np.ndarray) -> dict[str, Any]:
        """Return the head's decoded arrays by name, as tensors of the backend."""
        return self._run(images)

    def raw(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the head's decoded arrays by name.

        Detection: "boxes" (batch, n, 4) and "scores" (batch, n, classes) before suppression.
        Classification: "scores" (batch, classes). Segmentation: "scores" (batch, height, width,
        classes).

        Raises:
            UserError: The images have another type or number of channels than the model takes.
            NotFiniteError: A score is NaN, for example because weights overflowed in training.
        """
        fix = "predict(model, images, value_range=(0, 1))"
        check_pixels(images, preprocessing_of(self.model), fix)
        outputs = self.run(images)
        found = {name: ops.convert_to_numpy(array) for name, array in outputs.items()}
        scores = found[self._outputs[-1]]
        # `max` propagates NaN, so this needs no boolean array of the size of the scores.
        if scores.size and np.isnan(scores.max()):
            raise NotFiniteError(
                "the model's scores are NaN", fix="train with a lower learning rate"
            )
        return found
