"""Parity check between an exported file and its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import UserError
from visiongarden.evaluation.decoding import needs_nms, outputs_of
from visiongarden.evaluation.forward import forward_of
from visiongarden.postprocess import Nms
from visiongarden.tasks import Parity, task_of
from visiongarden.types import ImageSize

__all__ = ["Parity", "compare"]


def compare(
    model: Any, file: str | Path, images: np.ndarray, postprocess: Nms | None = None
) -> Parity:
    """Compare a model with its ONNX file on the same images.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        file: Path of the file that `export` wrote.
        images: (n, height, width, channels) of the exported size, of the file's input type.
        postprocess: Suppression of detections; by default with the score of the twentieth best box
            as threshold, so that a model with little training has boxes to compare.

    Raises:
        UserError: ONNX Runtime cannot open the file.
    """
    size = (int(images.shape[1]), int(images.shape[2]))
    found = forward_of(model, size)(images)
    expected = {name: keras.ops.convert_to_numpy(array) for name, array in found.items()}
    actual = _run(file, images, outputs_of(model))
    return task_of(model).difference(expected, actual, needs_nms(model), postprocess)


def noise(preprocessing: Preprocessing, size: ImageSize) -> np.ndarray:
    """Return two images of random pixel values, as a model with this preprocessing takes them."""
    shape = (2, *size, preprocessing.channels)
    # Floats from 0 to the value that the model scales to 1.
    highest = preprocessing.max_value or 1 / preprocessing.scale
    rng = np.random.default_rng(0)
    if preprocessing.max_value is None:
        return (rng.random(shape) * highest).astype(preprocessing.dtype)
    return rng.integers(0, preprocessing.max_value + 1, shape).astype(preprocessing.dtype)


def _run(file: str | Path, images: np.ndarray, outputs: tuple[str, ...]) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime's classes derive from Exception alone
        raise UserError(
            "ONNX Runtime cannot open the exported file",
            rule="operations and shapes that ONNX Runtime can run",
            received=" ".join(str(error).split())[:300],
            fix="use other keras.ops in the layer above, without loops over a tensor's length",
        ) from error
    name = session.get_inputs()[0].name
    arrays = session.run(list(outputs), {name: images})
    return dict(zip(outputs, arrays, strict=True))
