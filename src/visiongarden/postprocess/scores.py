"""Logits -> scores, and scores -> the classes of an image or of its pixels."""

from __future__ import annotations

from typing import Annotated, Any

import cv2
import numpy as np
from keras import ops
from pydantic import Field

from visiongarden.config import Value
from visiongarden.types import ImageSize, Placement, Ranking, RawPredictions, Segments


class SoftmaxDecode(Value):
    """Logits of one level -> probabilities; part of an exported graph."""

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Any]:
        """Scores (..., classes), float32 from 0 to 1.

        Args:
            raw: level -> {"classes": (..., classes)}, one level.
            image_size: (height, width) of the network's input.
        """
        (level,) = raw.values()
        return (ops.softmax(ops.cast(level["classes"], "float32"), axis=-1),)


class Rank(Value):
    """Sorts the classes of an image.

    Attributes:
        score_threshold: classes below it are left out; the best one stays.
    """

    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0

    def __call__(self, scores: np.ndarray) -> Ranking:
        """The classes of one image, best first; of equals the one with the lower index.

        Args:
            scores: float32 (classes,).
        """
        order = np.argsort(-scores, kind="stable")
        kept = scores[order] >= self.score_threshold
        kept[:1] = True
        return Ranking(order[kept].astype(np.int32), scores[order[kept]].astype(np.float32))


def best_of_each(scores: np.ndarray, placement: Placement, size: ImageSize) -> Segments:
    """Scores of a canvas's pixels -> the class of each pixel of the original image.

    The part of the canvas that shows the image is scaled linearly, class by class, before the best
    is chosen: edges come out smoother than from a scaled mask, and no pixel gets a mean of indices.

    Args:
        scores: float32 (height, width, classes) on the canvas.
        placement: where the image lies on the canvas.
        size: (height, width) of the original image.
    """
    (sx, sy), (x, y) = placement.scale, placement.offset
    left, top = round(x), round(y)
    right, bottom = left + max(round(size[1] * sx), 1), top + max(round(size[0] * sy), 1)
    seen = scores[top:bottom, left:right]
    best = np.full(size, -1.0, np.float32)
    classes = np.zeros(size, np.uint8)
    for index in range(scores.shape[-1]):
        plane = np.ascontiguousarray(seen[..., index], np.float32)
        if plane.shape != tuple(size):
            plane = cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        better = plane > best
        classes[better] = index
        np.maximum(best, plane, out=best)
    return Segments(classes, best)
