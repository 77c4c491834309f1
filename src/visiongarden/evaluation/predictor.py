"""`Predictor`: images -> what the model finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from visiongarden.errors import NotFiniteError, UserError
from visiongarden.evaluation.forward import forward_of
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize


class Predictor:
    """Runs a model on batches; follows the model's weights as they change.

    The model is compiled by the first image of a size, and keeps what was compiled for the eight
    sizes used last: a second `Predictor` of the same size costs nothing. Between processes JAX
    keeps it where its own `JAX_COMPILATION_CACHE_DIR` says.

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
        self._run = forward_of(model, tuple(self.image_size))

    def __call__(self, images: np.ndarray) -> list[Any]:
        """What is found in uint8 images (batch, height, width, 3), in pixels of these images."""
        return [self.postprocess(*row) for row in zip(*self.raw(images), strict=True)]

    def scored(self, images: np.ndarray) -> list[tuple[Any, float]]:
        """What `__call__` finds, and the best score in each image, also one below the threshold."""
        rows = zip(*self.raw(images), strict=True)
        return [(self.postprocess(*row), float(row[-1].max(initial=0))) for row in rows]

    def raw(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """The head's decoded arrays, in the order of the task's `outputs`.

        Detection: boxes (batch, n, 4) and scores (batch, n, classes) before thinning.
        Classification: scores (batch, classes). Segmentation: scores (batch, h, w, classes).

        Raises:
            UserError: the images are not uint8.
            NotFiniteError: scores are NaN, as those of a model whose weights overflowed.
        """
        if images.dtype != np.uint8:
            raise UserError(
                f"the images are {images.dtype}",
                rule="uint8 (batch, height, width, 3), 0 to 255",
                fix="predict(model, images, value_range=(0, 1))",
            )
        found = tuple(ops.convert_to_numpy(array) for array in self._run(images))
        # The maximum of numbers among which one is NaN is NaN.
        if found[-1].size and np.isnan(found[-1].max()):
            raise NotFiniteError("the model's scores are NaN", fix="train with a lower rate")
        return found
