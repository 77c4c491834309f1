"""Decoding of class logits, and the classes of an image or of its pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import cv2
import numpy as np
from keras import ops
from pydantic import Field

from visiongarden.config import Value
from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.types import (
    HeadContext,
    ImageSize,
    Placement,
    Ranking,
    RawPredictions,
    Segments,
    Tensor,
)


@register
class SoftmaxDecoding(Decoding):
    """Softmax over the logits of the only level.

    Example:
        >>> raw = {"p5": {"classes": np.zeros((1, 4), "float32")}}
        >>> scores = vg.postprocess.SoftmaxDecoding()(raw, context=None)["scores"]
        >>> keras.ops.convert_to_numpy(scores).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """

    outputs: ClassVar[tuple[str, ...]] = ("scores",)
    needs_nms: bool = False

    def __call__(self, raw: RawPredictions, context: HeadContext | None) -> dict[str, Tensor]:
        """Return "scores" (..., classes).

        Args:
            raw: {level: {"classes": (..., classes)}} with exactly one level.
            context: not used.
        """
        (level,) = raw.values()
        return {"scores": ops.softmax(ops.cast(level["classes"], "float32"), axis=-1)}


@register
class SigmoidDecoding(Decoding):
    """Sigmoid of the logits of the only level: a score for each class, independent of the others.

    Example:
        >>> raw = {"p5": {"classes": np.zeros((1, 2), "float32")}}
        >>> scores = vg.postprocess.SigmoidDecoding()(raw, context=None)["scores"]
        >>> keras.ops.convert_to_numpy(scores).tolist()
        [[0.5, 0.5]]
    """

    outputs: ClassVar[tuple[str, ...]] = ("scores",)
    needs_nms: bool = False

    def __call__(self, raw: RawPredictions, context: HeadContext | None) -> dict[str, Tensor]:
        """Return "scores" (..., classes).

        Args:
            raw: {level: {"classes": (..., classes)}} with exactly one level.
            context: not used.
        """
        (level,) = raw.values()
        return {"scores": ops.sigmoid(ops.cast(level["classes"], "float32"))}


class Rank(Value):
    """Ranking of the classes of an image by score.

    Attributes:
        score_threshold: Classes with a lower score are removed.
        keep_best: Whether the best class is kept whatever its score is.
    """

    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep_best: bool = True

    def __call__(self, scores: np.ndarray) -> Ranking:
        """Return the classes of one image, best first; of equal scores the lower class index first.

        Args:
            scores: float32 (classes,).
        """
        order = np.argsort(-scores, kind="stable")
        kept = scores[order] >= self.score_threshold
        kept[:1] |= self.keep_best
        return Ranking(order[kept].astype(np.int32), scores[order[kept]].astype(np.float32))


def best_of_each(scores: np.ndarray, placement: Placement, size: ImageSize) -> Segments:
    """Return the best class of each pixel of the original image.

    The region of the canvas that shows the image is resized bilinearly, class by class, before the
    argmax. Edges are smoother than those of a resized mask, and class indices are never averaged.

    Args:
        scores: float32 (height, width, classes) on the canvas, the network's input.
        placement: Scale and offset of the image on the canvas.
        size: (height, width) of the original image.
    """
    (sx, sy), (x, y) = placement.scale, placement.offset
    left, top = round(x), round(y)
    right, bottom = left + max(round(size[1] * sx), 1), top + max(round(size[0] * sy), 1)
    seen = scores[top:bottom, left:right]
    best = np.full(size, -1.0, np.float32)
    classes = np.zeros(size, np.uint8)
    # A running maximum needs two planes of the original size; resizing all classes first would need
    # one plane per class.
    for index in range(scores.shape[-1]):
        plane = np.ascontiguousarray(seen[..., index], np.float32)
        if plane.shape != tuple(size):
            plane = cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        better = plane > best
        classes[better] = index
        np.maximum(best, plane, out=best)
    return Segments(classes, best)
