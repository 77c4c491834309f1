"""Targets for a head under test, and the comparison of its decoded results with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.parts import Head
from visiongarden.testing.examples import examples_of
from visiongarden.types import IGNORE, ImageSize, stride_of


@dataclass(frozen=True)
class Match:
    """Comparison of one image's target with the decoded result.

    Attributes:
        learned: Whether the highest score is high enough to count as a detection; if not, there is
            nothing to compare. Always True for other tasks than detection.
        correct: Whether the result matches the target.
        expected: Description of the target for messages.
        got: Description of the result for messages.
    """

    learned: bool
    correct: bool
    expected: str
    got: str


def targets_for(
    head: Head, levels: list[str], size: ImageSize, batch: int
) -> dict[str, np.ndarray] | None:
    """Create targets for the head's task, with one object per image.

    Targets in the class attribute `examples = {"targets": {...}}` take precedence.

    Args:
        head: Head whose task determines the targets.
        levels: Levels of its features. Each image has one box of about two cells of one level; the
            levels alternate over the images.
        size: (height, width) of the image in pixels.
        batch: Number of images.

    Returns:
        Target arrays by name, or None for an unknown task.
    """
    own = examples_of(type(head)).get("targets")
    if own is not None:
        return {name: np.asarray(value) for name, value in own.items()}
    makers = {"detection": _boxes, "classification": _class_targets, "segmentation": _masks}
    maker = makers.get(head.task)
    return None if maker is None else maker(head, levels, size, batch)


def empty(head: Head, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Create the targets of images without any object.

    Args:
        head: Head whose task determines the targets.
        targets: Targets with objects, which define names, shapes and dtypes.

    Returns:
        Target arrays by name, or None if every image of the task has a class.
    """
    if head.task == "detection":
        return {"boxes": np.zeros_like(targets["boxes"]), "classes": targets["classes"] * 0 - 1}
    if head.task == "segmentation":
        return {"semantic": np.full_like(targets["semantic"], IGNORE)}
    return None


def _boxes(head: Head, levels: list[str], size: ImageSize, batch: int) -> dict[str, np.ndarray]:
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
        classes[image, 0] = (image + 1) % head.num_classes
    return {"boxes": boxes, "classes": classes}


def _class_targets(
    head: Head, levels: list[str], size: ImageSize, batch: int
) -> dict[str, np.ndarray]:
    classes = (np.arange(batch) + 1) % head.num_classes
    return {"labels": np.eye(head.num_classes, dtype=np.float32)[classes]}


def _masks(head: Head, levels: list[str], size: ImageSize, batch: int) -> dict[str, np.ndarray]:
    masks = np.zeros((batch, *size), np.int32)
    for image in range(batch):
        masks[image, size[0] // 4 :, : size[1] // 2] = (image + 1) % head.num_classes
    return {"semantic": masks}


def matches(
    head: Head, targets: Mapping[str, np.ndarray], decoded: tuple[np.ndarray, ...]
) -> list[Match]:
    """Compare the decoded results with the targets, image by image.

    Args:
        head: Head whose task determines the comparison.
        targets: Targets as `targets_for` returns them.
        decoded: Outputs of the head's decoding as arrays, batch first.

    Returns:
        One match per image.
    """
    maker = {"detection": _boxes_match, "classification": _class_matches}.get(head.task, _mask)
    return [maker(targets, decoded, image) for image in range(len(decoded[0]))]


_MIN_SCORE = 0.3
"""Minimum score of a box that counts as detected."""


def _boxes_match(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    boxes, scores = decoded[0][image], decoded[1][image]
    place, name = np.unravel_index(int(scores.argmax()), scores.shape)
    expected, expected_class = targets["boxes"][image, 0], int(targets["classes"][image, 0])
    overlap = _iou(expected, boxes[place])
    return Match(
        learned=float(scores.max()) >= _MIN_SCORE,
        correct=overlap >= 0.5 and int(name) == expected_class,
        expected=f"box {_text(expected)} of class {expected_class}",
        got=f"{_text(boxes[place])} of class {int(name)} (IoU {overlap:.2f})",
    )


def _class_matches(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    scores, expected = decoded[0][image], int(targets["labels"][image].argmax())
    return Match(
        learned=True,
        correct=int(scores.argmax()) == expected,
        expected=f"class {expected}",
        got=f"class {int(scores.argmax())}",
    )


def _mask(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    found, expected = decoded[0][image].argmax(-1), targets["semantic"][image]
    share = float(np.mean(found == expected)) if found.shape == expected.shape else 0.0
    return Match(
        learned=True,
        correct=share >= 0.9,
        expected=f"a mask {expected.shape}",
        got=f"a mask {found.shape} with {share:.0%} correct pixels",
    )


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{side:.0f}" for side in box) + "]"
