"""Predict on images in memory and in files."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from visiongarden.data import ValueRange
from visiongarden.data.given_images import each_image
from visiongarden.data.image_of import ImageOf
from visiongarden.data.model_pixels import pixels_for
from visiongarden.data.pixels import ArrayLike
from visiongarden.errors import UserError, option
from visiongarden.evaluation.evaluator import filled
from visiongarden.evaluation.predictor import Predictor
from visiongarden.models import as_model
from visiongarden.models.kinds import OfWholeImages, pixel_values_of
from visiongarden.models.precision import model_in_precision
from visiongarden.tasks import resize_of, task_of
from visiongarden.types import Result


def predict(
    model: Any,
    images: Any,
    *,
    score: float | None = None,
    iou: float | None = None,
    value_range: ValueRange | None = None,
    batch_size: int = 8,
    precision: str | None = None,
    predictor: Predictor | None = None,
) -> Iterator[Any]:
    """Predict on images; results are in pixels of each original image.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`, or the path of a model
            file.
        images: One image, an array (n, height, width, channels), or an iterable of images: paths,
            Pillow images or arrays of any size. The path of a folder means all images in it,
            in alphabetical order. Arrays have the channels and pixel values of the images that the
            model was trained with; for a model of 8-bit RGB, `visiongarden.data.to_pixels` lists
            the other accepted forms (gray, RGBA, uint16, float from 0 to 255).
        score: Minimum score of a detection (by default 0.25), or of a class other than the best (by
            default 0).
        iou: IoU above which the weaker of two boxes of a class is suppressed; by default 0.7, and
            0.45 for imported Darknet networks. Heads without NMS and other tasks have none.
        value_range: Range of the values of arrays that are not pixel values as stored, for example
            (0, 1).
        batch_size: Number of images per step; a smaller last batch is padded.
        precision: Dtype policy of the computation: "float32", "mixed_bfloat16" or "mixed_float16".
            Defaults to float32 for the path of a model file, whatever the model was trained in, and
            to that of the model otherwise.
        predictor: Predictor to use; by default one at the model's image size. It contains its own
            thresholds, and its model is not changed by `precision`.

    Returns:
        An iterator with one result per image: `Instances` with boxes and scores, a
        `Ranking` of the classes, or `Segments`. Images are read as the iterator proceeds.

    Raises:
        UserError: An argument is not valid, or an item of `images` is not an image; the message
            contains its number.
        DataError: A file cannot be decoded.

    Example:
        >>> for found in vg.predict("best.keras", ["a.jpg", "b.jpg"]):  # doctest: +SKIP
        ...     print(found.classes, np.asarray(found.boxes))
    """
    opened = as_model(model) if predictor else model_in_precision(model, precision)
    # Not in the generator below, whose body runs only when the first result is requested.
    _check_fraction(score, option("score", score), option("score", 0.5))
    _check_fraction(iou, option("iou", iou), option("iou", 0.5))
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise UserError(
            f"{option('batch_size', batch_size)} is not valid", rule="an integer of at least 1",
            fix=option("batch_size", 8),
        )  # fmt: skip
    source, task = each_image(images, "predict(model, {})"), task_of(opened)
    if predictor is None and not isinstance(opened, OfWholeImages):
        predictor = predictor_of(opened, score, iou)
    preprocessing = pixel_values_of(opened)
    # Images that are produced one by one must not fill the memory.
    is_stream = not _are_held(images)
    # A batch is converted before its results are known, so images wait here for theirs.
    waiting: deque[ImageOf] = deque()

    def pixels() -> Iterator[np.ndarray]:
        for number, image in enumerate(source):
            array = pixels_for(image, preprocessing, value_range, f"image {number}")
            waiting.append(ImageOf.given(image, array, is_stream, task.draw))
            yield array

    def results() -> Iterator[Any]:
        for result, _ in scored(
            opened, pixels(), score, iou=iou, batch_size=batch_size, predictor=predictor
        ):
            image = waiting.popleft()
            yield result.replace(image=image) if isinstance(result, Result) else result

    return results()


def predictor_of(model: Any, score: float | None, iou: float | None) -> Predictor:
    """Return a predictor with the thresholds of the model's task where none are given.

    Raises:
        UserError: `iou` is given, but the results of the task are not suppressed.
    """
    task = task_of(model)
    min_score = task.score if score is None else score
    return Predictor(model, postprocess=task.postprocess(model, min_score, iou))


def _are_held(images: Any) -> bool:
    """Return whether the caller has all images in memory, or their paths."""
    return isinstance(images, list | tuple | ArrayLike) or not isinstance(images, Iterable)


def _check_fraction(value: Any, given: str, fix: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value <= 1):
        raise UserError(f"{given} is not valid", rule="a number from 0 to 1", fix=fix)


def scored(
    model: Any,
    images: Iterable[np.ndarray],
    score: float | None = None,
    *,
    iou: float | None = None,
    batch_size: int = 8,
    predictor: Predictor | None = None,
) -> Iterator[tuple[Any, float]]:
    """Yield the prediction for each image together with the best score in the image.

    The best score is also reported when it is below the threshold.

    Args:
        model: As in `predict`, but no path.
        images: Pixel values (height, width, channels) as the model takes them, of any size.
        score: As in `predict`.
        iou: As in `predict`.
        batch_size: Number of images per step.
        predictor: Predictor to use; by default one at the model's image size.
    """
    if isinstance(model, OfWholeImages):
        for image in images:
            result, best = model.predict_image(image, score, iou)
            yield result.replace(class_map=model.class_map), best
        return
    task, resize = task_of(model), resize_of(model)
    predictor = predictor or predictor_of(model, score, iou)
    source, several = iter(images), False
    while chunk := list(itertools.islice(source, batch_size)):
        placed = [resize.place(image, predictor.image_size) for image in chunk]
        canvas = np.stack([image for image, _ in placed])
        # The last of several batches is padded to the size of the others, so that the model is
        # compiled once; a single batch is not padded, which would only cost time.
        canvas, several = filled(canvas, batch_size) if several else canvas, True
        known = isinstance(predictor, Predictor)
        rows = predictor.scored(canvas) if known else _unscored(predictor, canvas)
        for (found, best), image, (_, placement) in zip(rows, chunk, placed, strict=False):
            size = (image.shape[0], image.shape[1])
            result = task.to_original(found, placement, size)
            if isinstance(result, Result):
                result = result.replace(class_map=model.class_map)
            yield result, best


def _unscored(predictor: Any, canvas: np.ndarray) -> list[tuple[Any, float]]:
    """Call a custom function in place of a `Predictor`; best scores are unknown."""
    return [(found, math.nan) for found in predictor(canvas)]
