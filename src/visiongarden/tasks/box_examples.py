"""Boxes on which `check` tests the loss and the decoding of a detection head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.tasks.matching import Match
from visiongarden.types import ImageSize, stride_of

_MIN_SCORE = 0.3
"""Minimum score of a box that counts as detected."""


def box_targets(
    num_classes: int, levels: Sequence[str], size: ImageSize, batch: int
) -> dict[str, np.ndarray]:
    """Return the targets of one box per image; the levels alternate over the images.

    Args:
        num_classes: Number of classes.
        levels: Levels, of which one cell is half as large as the box.
        size: (height, width) of the images in pixels.
        batch: Number of images.
    """
    strides = sorted(stride_of(level) for level in levels)
    boxes = np.zeros((batch, 4, 4), np.float32)
    classes = np.full((batch, 4), -1, np.int32)
    for image in range(batch):
        stride = strides[image % len(strides)]
        y, x = (stride * (side // stride // 2 + 0.5) for side in size)
        # The edges are less than a stride from a cell's center. Distances, offsets with anchors
        # and distributions over bins can all encode such a box.
        half = (0.9 * stride, 0.75 * stride)
        corners = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
        boxes[image, 0] = np.clip(corners, 0, [size[1], size[0]] * 2)
        classes[image, 0] = (image + 1) % num_classes
    return {"boxes": boxes, "classes": classes}


def box_match(targets: Mapping[str, Any], decoded: Mapping[str, Any], image: int) -> Match:
    """Compare the box with the highest score with that of the image.

    Args:
        targets: Targets that `box_targets` returned.
        decoded: "boxes" and "scores", batch first.
        image: Number of the image in the batch.
    """
    boxes, scores = decoded["boxes"][image], decoded["scores"][image]
    place, name = np.unravel_index(int(scores.argmax()), scores.shape)
    expected, expected_class = targets["boxes"][image, 0], int(targets["classes"][image, 0])
    overlap = _iou(expected, boxes[place])
    return Match(
        learned=float(scores.max()) >= _MIN_SCORE,
        correct=overlap >= 0.5 and int(name) == expected_class,
        expected=f"box {_text(expected)} of class {expected_class}",
        got=f"{_text(boxes[place])} of class {int(name)} (IoU {overlap:.2f})",
        advice="boxes (x1, y1, x2, y2) in pixels of the network's input, not center, width and "
        "height, nor shares of the image",
    )


def invalid_boxes(arrays: Mapping[str, np.ndarray]) -> tuple[str, str] | None:
    """Return evidence and advice if decoded boxes are not (batch, n, 4) in xyxy order."""
    boxes, scores = arrays["boxes"], arrays["scores"]
    if boxes.shape != (*scores.shape[:2], 4):
        return (
            f"the decoding returns boxes {boxes.shape} and scores {scores.shape}",
            'return {"boxes": (batch, n, 4), "scores": (batch, n, classes)}',
        )
    inverted = ((boxes[..., 2:] - boxes[..., :2]) < -1e-3).any(-1)
    if inverted.mean() > 0.01:
        return (
            f"{inverted.mean():.0%} of the boxes have x2 < x1 or y2 < y1, such as "
            f"{np.array2string(boxes[inverted][0], precision=1)}",
            "return (x1, y1, x2, y2) in pixels, not center, width and height; make distances "
            "positive with exp or softplus",
        )
    return None


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{side:.0f}" for side in box) + "]"
