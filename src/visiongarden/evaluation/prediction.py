"""Prediction on images in memory."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.data import ValueRange, to_pixels
from visiongarden.errors import UserError
from visiongarden.evaluation.evaluator import filled
from visiongarden.evaluation.image_of import ImageOf
from visiongarden.evaluation.predictor import Predictor
from visiongarden.tasks import task_of
from visiongarden.types import Prediction


def predict(
    model: Any,
    images: Any,
    score: float | None = None,
    batch_size: int = 8,
    predictor: Predictor | None = None,
    value_range: ValueRange | None = None,
) -> list[Any]:
    """Predict on images; results are in pixels of each original image.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        images: One image, an array (n, height, width, channels), or an iterable of images: paths,
            Pillow images or arrays of any size. Arrays are uint8 RGB; `visiongarden.data.to_pixels`
            lists the other accepted forms (gray, RGBA, uint16, float from 0 to 255).
        score: Minimum score of a detection (by default 0.25), or of a class other than the best (by
            default 0).
        batch_size: Number of images per step; a smaller last batch is padded.
        predictor: Predictor to use; by default one at the model's image size.
        value_range: Range of the values of arrays, for example (0, 1), if it is another one.

    Returns:
        One result per image: `Detections`, a `Ranking` of the classes, or `Segments`.

    Raises:
        UserError: An item of `images` is not an image; the message contains its number.
        DataError: A file cannot be decoded.
    """
    # A batch is converted before its results are known, so images wait here for theirs.
    waiting: deque[ImageOf] = deque()
    # Images that are produced one by one must not fill the memory.
    is_stream = not _are_held(images)

    def pixels() -> Iterator[np.ndarray]:
        for number, image in enumerate(each_image(images)):
            array = to_pixels(image, value_range, f"image {number}")
            waiting.append(ImageOf.given(image, array, is_stream))
            yield array

    found = []
    for result, _ in scored(model, pixels(), score, batch_size, predictor):
        image = waiting.popleft()
        found.append(replace(result, image=image) if isinstance(result, Prediction) else result)
    return found


def _are_held(images: Any) -> bool:
    """Return whether the caller has all images in memory, or their paths."""
    return (
        isinstance(images, list | tuple)
        or hasattr(images, "__array__")
        or not isinstance(images, Iterable)
    )


def each_image(images: Any) -> Iterator[Any]:
    """Yield the images of a single image, a batch or an iterable, one by one.

    Raises:
        UserError: `images` is not an image, an array or an iterable.
    """
    if isinstance(images, str | Path | Image.Image):
        yield images
    elif hasattr(images, "__array__") or isinstance(images, np.ndarray):
        array = images if isinstance(images, np.ndarray) else np.asarray(images)
        # One dimension: an array of paths or of image arrays. Four: a batch.
        yield from array if array.ndim in (1, 4) else [array]
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | dict):
        yield from images
    else:
        raise UserError(
            f"images is of type {type(images).__name__}",
            rule="an image, an array (n, height, width, channels), or an iterable of images",
            fix='predict(model, ["a.jpg", "b.jpg"])',
        )


def scored(
    model: Any,
    images: Iterable[np.ndarray],
    score: float | None = None,
    batch_size: int = 8,
    predictor: Predictor | None = None,
) -> Iterator[tuple[Any, float]]:
    """Yield the prediction for each image together with the best score in the image.

    The best score is also reported when it is below the threshold.

    Args:
        model: As in `predict`.
        images: uint8 RGB (height, width, 3) of any size.
        score: As in `predict`.
        batch_size: Number of images per step.
        predictor: Predictor to use; by default one at the model's image size.
    """
    task = task_of(model)
    min_score = task.score if score is None else score
    if hasattr(model, "detect"):  # an imported network does its own resizing and suppression
        model.decode()  # raises if the network predicts no boxes
        for image in images:
            boxes, scores = model.candidates(image)
            size = (image.shape[0], image.shape[1])
            yield model.suppressed(boxes, scores, size, min_score), float(scores.max(initial=0))
        return
    predictor = predictor or Predictor(model, postprocess=task.postprocess(model, min_score))
    source, several = iter(images), False
    while chunk := list(itertools.islice(source, batch_size)):
        placed = [task.place(image, predictor.image_size) for image in chunk]
        canvas = np.stack([image for image, _ in placed])
        # The last of several batches is padded to the size of the others, so that the model is
        # compiled once; a single batch is not padded, which would only cost time.
        canvas, several = filled(canvas, batch_size) if several else canvas, True
        known = isinstance(predictor, Predictor)
        rows = predictor.scored(canvas) if known else _unscored(predictor, canvas)
        for (found, best), image, (_, placement) in zip(rows, chunk, placed, strict=False):
            size = (image.shape[0], image.shape[1])
            result = task.to_original(found, placement, size)
            if isinstance(result, Prediction):
                result = replace(result, class_map=model.class_map)
            yield result, best


def _unscored(predictor: Any, canvas: np.ndarray) -> list[tuple[Any, float]]:
    """Call a custom function in place of a `Predictor`; best scores are unknown."""
    return [(found, math.nan) for found in predictor(canvas)]
