"""Parity check between an exported file and its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.evaluation.forward import forward_of
from visiongarden.exporters.exported import ExportedModel
from visiongarden.exporters.exporter import load
from visiongarden.models.kinds import needs_nms
from visiongarden.postprocess import Nms
from visiongarden.tasks import Parity, task_of
from visiongarden.types import ImageSize

__all__ = ["Parity", "compare"]


def compare(
    model: Any, file: str | Path | ExportedModel, images: np.ndarray, postprocess: Nms | None = None
) -> Parity:
    """Compare a model with its exported file on the same images.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        file: The file that `export` wrote, or its path.
        images: (n, height, width, channels) of the exported size, of the file's input type.
        postprocess: Suppression of detections; by default with the score of the twentieth best box
            as threshold, so that a model with little training has boxes to compare.

    Raises:
        UserError: The runtime cannot open the file.
    """
    size = (int(images.shape[1]), int(images.shape[2]))
    found = forward_of(model, size)(images)
    expected = {name: keras.ops.convert_to_numpy(array) for name, array in found.items()}
    exported = file if isinstance(file, ExportedModel) else load(file)
    actual = exported(images)
    suppression = {"needs_nms": needs_nms(model), "nms": postprocess}
    return task_of(model).difference(expected, actual, **suppression)


def noise(preprocessing: Preprocessing, size: ImageSize) -> np.ndarray:
    """Return two images of random pixel values, as a model with this preprocessing takes them."""
    shape = (2, *size, preprocessing.channels)
    # Floats from 0 to the value that the model scales to 1.
    highest = preprocessing.max_value or 1 / preprocessing.scale
    rng = np.random.default_rng(0)
    if preprocessing.max_value is None:
        return (rng.random(shape) * highest).astype(preprocessing.dtype)
    return rng.integers(0, preprocessing.max_value + 1, shape).astype(preprocessing.dtype)
