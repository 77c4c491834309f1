"""Targets for a head under test, and how well its decoded results match them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.parts import Head
from visiongarden.types import IGNORE, ImageSize, stride_of


@dataclass(frozen=True)
class Match:
    """One image's target and what decoding returned for it.

    Attributes:
        learned: whether a score says that something was found; else nothing can be compared.
        agrees: whether the result is the target.
        wanted: the target, for people.
        got: the result, for people.
    """

    learned: bool
    agrees: bool
    wanted: str
    got: str


def targets_for(
    head: Head, levels: list[str], size: ImageSize, batch: int
) -> dict[str, np.ndarray] | None:
    """Targets of the head's task, one object in each image; None for a task that is not known.

    `examples = {"targets": {...}}` of the class comes first.

    Args:
        head: whose task decides.
        levels: of its features; boxes are two cells wide, of each level in turn.
        size: (height, width) of the image, in pixels.
        batch: number of images.
    """
    own = getattr(type(head), "examples", {}).get("targets")
    if own is not None:
        return {name: np.asarray(value) for name, value in own.items()}
    makers = {"detection": _boxes, "classification": _shares, "segmentation": _masks}
    maker = makers.get(head.task)
    return None if maker is None else maker(head, levels, size, batch)


def empty(head: Head, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The same targets without any object; None where the task has no such images."""
    if head.task == "detection":
        return {"boxes": np.zeros_like(targets["boxes"]), "classes": targets["classes"] * 0 - 1}
    if head.task == "segmentation":
        return {"masks": np.full_like(targets["masks"], IGNORE)}
    return None


def _boxes(head: Head, levels: list[str], size: ImageSize, batch: int) -> dict[str, np.ndarray]:
    strides = sorted(stride_of(level) for level in levels)
    boxes = np.zeros((batch, 4, 4), np.float32)
    classes = np.full((batch, 4), -1, np.int32)
    for image in range(batch):
        stride = strides[image % len(strides)]
        y, x = (stride * (side // stride // 2 + 0.5) for side in size)
        # Less than a stride from a cell's center, which each way of coding boxes can express.
        half = (0.9 * stride, 0.75 * stride)
        corners = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
        boxes[image, 0] = np.clip(corners, 0, [size[1], size[0]] * 2)
        classes[image, 0] = (image + 1) % head.num_classes
    return {"boxes": boxes, "classes": classes}


def _shares(head: Head, levels: list[str], size: ImageSize, batch: int) -> dict[str, np.ndarray]:
    classes = (np.arange(batch) + 1) % head.num_classes
    return {"classes": np.eye(head.num_classes, dtype=np.float32)[classes]}


def _masks(head: Head, levels: list[str], size: ImageSize, batch: int) -> dict[str, np.ndarray]:
    masks = np.zeros((batch, *size), np.int32)
    for image in range(batch):
        masks[image, size[0] // 4 :, : size[1] // 2] = (image + 1) % head.num_classes
    return {"masks": masks}


def matches(
    head: Head, targets: Mapping[str, np.ndarray], decoded: tuple[np.ndarray, ...]
) -> list[Match]:
    """For each image, whether the decoded result is the target."""
    maker = {"detection": _boxes_match, "classification": _class_matches}.get(head.task, _mask)
    return [maker(targets, decoded, image) for image in range(len(decoded[0]))]


_FOUND = 0.3


def _boxes_match(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    boxes, scores = decoded[0][image], decoded[1][image]
    place, name = np.unravel_index(int(scores.argmax()), scores.shape)
    wanted, wanted_class = targets["boxes"][image, 0], int(targets["classes"][image, 0])
    overlap = _iou(wanted, boxes[place])
    return Match(
        learned=float(scores.max()) >= _FOUND,
        agrees=overlap >= 0.5 and int(name) == wanted_class,
        wanted=f"box {_text(wanted)} of class {wanted_class}",
        got=f"{_text(boxes[place])} of class {int(name)} (IoU {overlap:.2f})",
    )


def _class_matches(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    scores, wanted = decoded[0][image], int(targets["classes"][image].argmax())
    return Match(
        learned=True,
        agrees=int(scores.argmax()) == wanted,
        wanted=f"class {wanted}",
        got=f"class {int(scores.argmax())}",
    )


def _mask(targets: Mapping[str, Any], decoded: tuple[Any, ...], image: int) -> Match:
    found, wanted = decoded[0][image].argmax(-1), targets["masks"][image]
    share = float(np.mean(found == wanted)) if found.shape == wanted.shape else 0.0
    return Match(
        learned=True,
        agrees=share >= 0.9,
        wanted=f"a mask {wanted.shape}",
        got=f"one of {found.shape}, {share:.0%} of its pixels right",
    )


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{side:.0f}" for side in box) + "]"
