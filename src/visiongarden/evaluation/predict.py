"""`predict`: images -> what a model finds in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.data import ValueRange, to_pixels
from visiongarden.errors import UserError
from visiongarden.evaluation.evaluate import filled
from visiongarden.evaluation.predictor import Predictor
from visiongarden.tasks import task_of


def predict(
    model: Any,
    images: Any,
    score: float | None = None,
    batch_size: int = 8,
    predictor: Predictor | None = None,
    value_range: ValueRange | None = None,
) -> list[Any]:
    """What a model finds in each image, in the image's own pixels.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`, or a `DarknetModel`.
        images: one image, an array (n, height, width, channels), or an iterable of images: files,
            Pillow images or arrays of any size. An array is uint8 RGB; what else is taken, as gray,
            RGBA, uint16 and float from 0 to 255, is listed at `visiongarden.data.to_pixels`.
        score: least score of a detection (by default 0.25), or of a class beside the best (0).
        batch_size: images a step; less is filled up.
        predictor: by default one at the model's image size.
        value_range: of arrays whose values are in another range, as (0, 1).

    Returns:
        For each image `Detections`, a `Ranking` of the classes, or `Segments`.

    Raises:
        UserError: `images` holds what is not an image; names its number.
        DataError: a file cannot be decoded.
    """
    pixels = (
        to_pixels(image, value_range, f"image {number}")
        for number, image in enumerate(each_image(images))
    )
    return [found for found, _ in scored(model, pixels, score, batch_size, predictor)]


def each_image(images: Any) -> Iterator[Any]:
    """One image, a batch or an iterable of images -> each image, as it is.

    Raises:
        UserError: neither.
    """
    if isinstance(images, str | Path | Image.Image):
        yield images
    elif hasattr(images, "__array__") or isinstance(images, np.ndarray):
        array = images if isinstance(images, np.ndarray) else np.asarray(images)
        # One dimension: an array of paths or of arrays.
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
    """What is found in each image, and the best score in it, also one below the threshold.

    Args:
        model: as of `predict`.
        images: uint8 RGB (height, width, 3) of any size.
        score: as of `predict`.
        batch_size: images a step.
        predictor: by default one at the model's image size.
    """
    task = task_of(model)
    least = task.score if score is None else score
    if hasattr(model, "detect"):  # an imported network has its own way, from pixels to boxes
        model.decode()  # refuses a network without boxes
        for image in images:
            boxes, scores = model.candidates(image)
            size = (image.shape[0], image.shape[1])
            yield model.suppressed(boxes, scores, size, least), float(scores.max(initial=0))
        return
    predictor = predictor or Predictor(model, postprocess=task.postprocess(model, least))
    source, several = iter(images), False
    while chunk := list(itertools.islice(source, batch_size)):
        placed = [task.place(image, predictor.image_size) for image in chunk]
        canvas = np.stack([image for image, _ in placed])
        # A last batch has the size of those before it: a model is compiled once.
        canvas, several = filled(canvas, batch_size) if several else canvas, True
        known = isinstance(predictor, Predictor)
        rows = predictor.scored(canvas) if known else _unscored(predictor, canvas)
        for (found, best), image, (_, placement) in zip(rows, chunk, placed, strict=False):
            size = (image.shape[0], image.shape[1])
            yield task.to_original(found, placement, size), best


def _unscored(predictor: Any, canvas: np.ndarray) -> list[tuple[Any, float]]:
    """Of a function that stands in for a predictor."""
    return [(found, math.nan) for found in predictor(canvas)]
