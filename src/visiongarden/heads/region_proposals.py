"""Layers that make and choose regions: Ren et al. 2015 (Faster R-CNN, arXiv 1506.01497), section 3.

All shapes are static: what there is too little of is filled up with boxes without area, (0, 0, 0,
0). No gradient passes through regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.backends.seeded import uniform
from visiongarden.ops import (
    AnchorGrid,
    clip,
    deltas_to_boxes,
    kth_largest,
    match_regions,
    refine_regions,
    rows_of,
    top_k,
)
from visiongarden.ops.boxes import area
from visiongarden.postprocess import nms_keeps
from visiongarden.registry import register
from visiongarden.types import ImageSize, Tensor

_LOW = -1e9
"""Score of boxes that are removed, below every logit."""

_RANDOM = 2**24
"""Upper bound of random numbers; float32 represents all integers below it."""


def _rounded(scores: Tensor, steps: int) -> Tensor:
    """Return scores by which boxes are ordered, as multiples of 1 / steps without gradient.

    An exported file rounds differently than its model. Boxes with nearly equal scores, of which
    there are many in a model with little training, are then in the same order in both: that of
    their rows.
    """
    return ops.stop_gradient(ops.round(ops.cast(scores, "float32") * steps) / steps)


class _OfBoxes(keras.layers.Layer):
    """Base class of layers that compute with coordinates, in float32 whatever the policy."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.autocast = False


@register
class ProposeRegions(_OfBoxes):
    """Decode anchors to boxes, and propose the best of them after non-maximum suppression.

    Of each level, the `per_level` boxes with the highest objectness are suppressed among each
    other; the `count` best of all levels are the proposals (Lin et al. 2016, FPN, section 4.1).

    Inputs: objectness logits (batch, height, width, anchors) and deltas (batch, height, width,
    anchors, 4), each as a list of levels, finest first. Output: (batch, count, 4), xyxy in pixels,
    best first, clipped to the image.

    Args:
        anchors: level -> (width, height) of each anchor in pixels.
        image_size: (height, width) in pixels.
        offset: position of an anchor's center in its cell, in strides.
        delta_weights: factors of the deltas.
        per_level: largest number of boxes of a level before the suppression.
        count: number of proposals.
        nms_iou: IoU above which the worse of two boxes of a level is removed.
        **kwargs: `name`, `trainable`.
    """

    def __init__(
        self,
        anchors: Mapping[str, Sequence[tuple[float, float]]],
        image_size: ImageSize,
        offset: float = 0.5,
        delta_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        per_level: int = 1000,
        count: int = 1000,
        nms_iou: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width = image_size
        self.anchors = {
            level: [(float(w), float(h)) for w, h in anchors[level]] for level in anchors
        }
        self.image_size, self.offset = (int(height), int(width)), float(offset)
        self.delta_weights = tuple(map(float, delta_weights))
        self.per_level, self.count, self.nms_iou = int(per_level), int(count), float(nms_iou)

    def build(self, objectness_shape: Any, deltas_shape: Any) -> None:
        """Nothing is created: there are no weights."""

    @property
    def proposals(self) -> int:
        """Number of proposals: `count`, or fewer if there are not as many anchors."""
        grid = AnchorGrid(self.anchors, self.image_size)
        each = (rows * columns * number for rows, columns, number, _ in grid.levels.values())
        return min(self.count, sum(min(self.per_level, number) for number in each))

    def call(self, objectness: Sequence[Tensor], deltas: Sequence[Tensor]) -> Tensor:
        """Return the proposals."""
        grid = AnchorGrid(self.anchors, self.image_size)
        # Positions in pixels need float32 under every policy.
        centers = ((grid.cells + self.offset) * grid.strides[:, None]).astype(np.float32)  # noqa: VG207
        found = []
        for (rows, columns, number, first), logits, moved in zip(
            grid.levels.values(), objectness, deltas, strict=True
        ):
            part = slice(first, first + rows * columns * number)
            found.append(self._of_level(logits, moved, centers[part], grid.anchors[part]))
        scores, boxes = (ops.concatenate(each, axis=1) for each in zip(*found, strict=True))
        best, index = top_k(scores, self.proposals)
        boxes = ops.where(ops.expand_dims(best > _LOW, -1), rows_of(boxes, index), 0.0)
        return ops.stop_gradient(boxes)

    def _of_level(
        self, objectness: Tensor, deltas: Tensor, centers: np.ndarray, sizes: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Return scores and boxes of a level, `_LOW` where a box is removed."""
        batch = ops.shape(objectness)[0]
        scores = _rounded(ops.reshape(objectness, (batch, -1)), 2**16)
        deltas = ops.stop_gradient(ops.reshape(ops.cast(deltas, "float32"), (batch, -1, 4)))
        best, index = top_k(scores, min(self.per_level, len(centers)))
        places = ops.take(ops.convert_to_tensor(centers), index, axis=0)
        anchors = ops.take(ops.convert_to_tensor(sizes), index, axis=0)
        boxes = deltas_to_boxes(rows_of(deltas, index), places, anchors, self.delta_weights)
        boxes = clip(boxes, self.image_size)
        keeps = (nms_keeps(boxes, self.nms_iou) > 0) & (area(boxes) > 0)
        return ops.where(keeps, best, _LOW), boxes

    def compute_output_spec(self, objectness: Any, deltas: Any) -> Any:
        """Return shape and type of the proposals."""
        return keras.KerasTensor((objectness[0].shape[0], self.proposals, 4), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("anchors", "offset", "per_level", "count", "nms_iou")
        own = {name: vars(self)[name] for name in names}
        lists = {name: list(vars(self)[name]) for name in ("image_size", "delta_weights")}
        return {**super().get_config(), **own, **lists}


@register
class SampleRegions(_OfBoxes):
    """Sample regions for training: Girshick 2015 (Fast R-CNN), section 2.3.

    In training with targets, the ground truth is added to the proposals, and `count` of them are
    sampled at random: positives first, at most a share of `positive_share`, then negatives. Without
    targets, the proposals are returned unchanged.

    Inputs: proposals (batch, n, 4), and as targets boxes (batch, m, 4) and classes (batch, m), -1
    pads. Output: (batch, count, 4), in training the positives first.

    Args:
        count: number of regions of an image in training.
        positive_share: largest share of positives.
        min_iou: minimum IoU of a positive.
        seed: seed of the random numbers; None takes one at random.
        **kwargs: `name`, `trainable`.
    """

    def __init__(
        self,
        count: int = 512,
        positive_share: float = 0.25,
        min_iou: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.count, self.positive_share = int(count), float(positive_share)
        self.min_iou, self.seed = float(min_iou), seed
        self.random = keras.random.SeedGenerator(seed)

    def build(
        self, proposals_shape: Any, boxes_shape: Any = None, classes_shape: Any = None
    ) -> None:
        """Nothing is created: there are no weights."""

    def call(
        self,
        proposals: Tensor,
        boxes: Tensor | None = None,
        classes: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """Return the regions."""
        if not training or boxes is None or classes is None:
            return proposals
        boxes, classes = ops.cast(boxes, "float32"), ops.cast(classes, "int32")
        real = ops.expand_dims(classes >= 0, -1)
        given = ops.concatenate([proposals, ops.where(real, boxes, 0.0)], axis=1)
        found = match_regions(given, boxes, classes, self.min_iou)
        random = uniform(ops.shape(found.valid), self.random)
        # The capacity of a batch may be unknown while a step is traced.
        count = min(self.count, int(proposals.shape[1]) + int(boxes.shape[1] or 0))
        most = max(1, min(int(self.count * self.positive_share), count))
        # From 2 on: the positives of the highest random numbers; from 1 on: the negatives.
        chosen = random * found.positive
        last = kth_largest(chosen, most)
        chosen = ops.where((found.positive > 0) & (chosen >= last), chosen + 2, 0.0)
        negative = found.valid * (1 - found.positive)
        order, index = ops.top_k(ops.maximum(chosen, (random + 1) * negative), count)
        regions = ops.where(ops.expand_dims(order > 0, -1), rows_of(given, index), 0.0)
        return ops.stop_gradient(regions)

    def compute_output_spec(
        self, proposals: Any, boxes: Any = None, classes: Any = None, training: bool = False
    ) -> Any:
        """Return shape and type of the regions in inference."""
        return keras.KerasTensor(proposals.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("count", "positive_share", "min_iou", "seed")
        return {**super().get_config(), **{name: vars(self)[name] for name in names}}


@register
class SamplingOrder(_OfBoxes):
    """Return a random integer for each anchor, by which the loss samples anchors.

    In training, each step has other numbers; otherwise they are constant, so that the loss of a
    validation is reproducible.

    Input: objectness logits (batch, height, width, anchors). Output: int32 of the same shape.

    Args:
        seed: seed of the random numbers; None takes one at random.
        **kwargs: `name`, `trainable`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, objectness: Tensor, training: bool = False) -> Tensor:
        """Return the numbers, from 0 to 2**24 - 1."""
        shape = ops.shape(objectness)
        if training:
            return ops.cast(uniform(shape, self.random) * _RANDOM, "int32")
        sides = tuple(objectness.shape[1:])
        generator = np.random.default_rng(0)  # noqa: VG212  constant on purpose
        fixed = generator.integers(0, _RANDOM, (1, *sides)).astype(np.int32)
        return ops.broadcast_to(ops.convert_to_tensor(fixed), shape)

    def compute_output_spec(self, objectness: Any, training: bool = False) -> Any:
        """Return shape and type of the numbers."""
        return keras.KerasTensor(objectness.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "seed": self.seed}


@register
class SelectRegions(_OfBoxes):
    """Select the regions of which masks are predicted.

    In inference, these are the detections: of all pairs of a region and a class, the `candidates`
    with the highest scores are suppressed class by class, and the `count` best remain. In training
    with targets, these are the first regions, the positives of `SampleRegions`, as they are.

    Inputs: regions (batch, n, 4), scores (batch, n, classes), deltas (batch, n, classes or 1, 4),
    and as a target boxes (batch, m, 4). Outputs: boxes (batch, count, 4); the row of the region
    (batch, count) int32; and the class (batch, count) int32, -1 in training: the best one.

    Args:
        image_size: (height, width) in pixels.
        delta_weights: factors of the deltas.
        count: number of detections of an image.
        candidates: number of pairs before the suppression.
        nms_iou: IoU above which the worse of two boxes of a class is removed.
        in_training: number of regions in training.
        **kwargs: `name`, `trainable`.
    """

    def __init__(
        self,
        image_size: ImageSize,
        delta_weights: Sequence[float],
        count: int = 100,
        candidates: int = 1000,
        nms_iou: float = 0.5,
        in_training: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width = image_size
        self.image_size = (int(height), int(width))
        self.delta_weights = tuple(map(float, delta_weights))
        self.count, self.candidates = int(count), int(candidates)
        self.nms_iou, self.in_training = float(nms_iou), int(in_training)

    def build(
        self, regions_shape: Any, scores_shape: Any, deltas_shape: Any, boxes_shape: Any = None
    ) -> None:
        """Nothing is created: there are no weights."""

    def call(
        self,
        regions: Tensor,
        scores: Tensor,
        deltas: Tensor,
        boxes: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, rows and classes."""
        if training and boxes is not None:
            count = min(self.in_training, int(regions.shape[1]))
            rows = ops.broadcast_to(
                ops.arange(count, dtype="int32"), (ops.shape(regions)[0], count)
            )
            return regions[:, :count], rows, ops.zeros_like(rows) - 1
        scores, deltas = _rounded(scores, 2**10), ops.stop_gradient(deltas)
        batch, (regions_count, classes) = ops.shape(scores)[0], scores.shape[1:]
        pairs = ops.reshape(scores, (batch, regions_count * classes))
        best, index = top_k(pairs, min(self.candidates, regions_count * classes))
        rows, chosen = index // classes, index % classes
        found = self._boxes(regions, deltas, rows, chosen)
        keeps = (nms_keeps(found, self.nms_iou, chosen) > 0) & (area(found) > 0)
        # A detection that is removed comes after all others, and has no area.
        order, place = top_k(ops.where(keeps, best, best + _LOW), self._detections(scores))
        found = ops.where(ops.expand_dims(order > _LOW / 2, -1), rows_of(found, place), 0.0)
        picked = [
            ops.cast(ops.take_along_axis(each, place, axis=1), "int32") for each in (rows, chosen)
        ]
        return ops.stop_gradient(found), picked[0], picked[1]

    def _boxes(self, regions: Tensor, deltas: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
        count, columns = deltas.shape[1:3]
        flat = ops.reshape(deltas, (ops.shape(deltas)[0], count * columns, 4))
        own = rows_of(flat, rows * columns + (chosen if columns > 1 else 0))
        return refine_regions(rows_of(regions, rows), own, self.delta_weights, self.image_size)

    def _detections(self, scores: Any) -> int:
        return min(self.count, self.candidates, scores.shape[1] * scores.shape[2])

    def compute_output_spec(
        self,
        regions: Any,
        scores: Any,
        deltas: Any,
        boxes: Any = None,
        training: bool = False,
    ) -> Any:
        """Return shapes and types of the outputs in inference."""
        shape = (regions.shape[0], self._detections(scores))
        return (
            keras.KerasTensor((*shape, 4), "float32"),
            keras.KerasTensor(shape, "int32"),
            keras.KerasTensor(shape, "int32"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("count", "candidates", "nms_iou", "in_training")
        own = {name: vars(self)[name] for name in names}
        lists = {name: list(vars(self)[name]) for name in ("image_size", "delta_weights")}
        return {**super().get_config(), **own, **lists}


@register
class RefineRegions(_OfBoxes):
    """Move regions by class-agnostic deltas: Cai & Vasconcelos 2018 (Cascade R-CNN), section 4.1.

    Inputs: regions (batch, n, 4) and deltas (batch, n, 1, 4). Output: (batch, n, 4), clipped to the
    image.

    Args:
        image_size: (height, width) in pixels.
        delta_weights: factors of the deltas.
        **kwargs: `name`, `trainable`.
    """

    def __init__(
        self, image_size: ImageSize, delta_weights: Sequence[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        height, width = image_size
        self.image_size = (int(height), int(width))
        self.delta_weights = tuple(map(float, delta_weights))

    def build(self, regions_shape: Any, deltas_shape: Any) -> None:
        """Nothing is created: there are no weights."""

    def call(self, regions: Tensor, deltas: Tensor) -> Tensor:
        """Return the moved regions."""
        moved = refine_regions(regions, deltas[..., 0, :], self.delta_weights, self.image_size)
        return ops.stop_gradient(moved)

    def compute_output_spec(self, regions: Any, deltas: Any) -> Any:
        """Return shape and type of the regions."""
        return keras.KerasTensor(regions.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        lists = {name: list(vars(self)[name]) for name in ("image_size", "delta_weights")}
        return {**super().get_config(), **lists}
