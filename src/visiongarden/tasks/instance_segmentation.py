"""Instance segmentation task: a box, a class, a score and a mask for each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.backbones import CSPDarknet
from visiongarden.data import Dataset
from visiongarden.data.rows import objects_without_mask
from visiongarden.data.targets import canvas_of, object_targets
from visiongarden.decoders import PathAggregation
from visiongarden.errors import UserError
from visiongarden.heads import AnchorFreeMasks
from visiongarden.metrics import CocoMeanAveragePrecision, Metric
from visiongarden.postprocess import (
    MaskFormat,
    PrototypeMaskFormat,
    Suppression,
    mask_format,
)
from visiongarden.registry import register
from visiongarden.samples import Boxes, Instances, Masks, Sample
from visiongarden.samples.mask_field import STRIDE
from visiongarden.tasks.box_parity import in_order_of
from visiongarden.tasks.detection import DetectionTask, with_upright_boxes
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, max_difference
from visiongarden.tasks.task import Defaults, model_fields, target
from visiongarden.types import ClassMap, ImageSize

_SQUARE = 2
"""Side in cells of the squares of the masks for `check`; larger ones hide a shift."""

_MIN_OVERLAP = 0.75
"""Minimum IoU of a decoded mask for `check`: shipped heads reach 0.88, half a cell apart 0.58."""

_COMPARED = 20
"""Boxes of each image whose masks are compared in an exported file."""


@register
class InstanceSegmentationTask(DetectionTask):
    """Instance segmentation: detection with a mask for each object.

    The metrics are COCO's twelve of the boxes ("AP", …) and of the masks ("mask_AP", …).
    """

    name = "instance_segmentation"
    needs = ("boxes", "masks")
    monitor = "mask_AP"
    shown = ("mask_AP", "mask_AP50", "AP")

    def needed_outputs(self, declared: Sequence[str] = ()) -> tuple[str, ...]:
        """Return "boxes" and "scores", and the arrays of the masks in the decoding's format.

        Without a known format, these are those of prototypes.
        """
        found = mask_format(declared) or PrototypeMaskFormat()
        return ("boxes", *found.outputs, "scores")

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit no dataset unless the task is named: detectors learn from such data as well."""
        return 0.0

    def check(self, dataset: Any) -> None:
        """Refuse a dataset without masks, or with an object, not a crowd, that has no mask."""
        super().check(dataset)
        if isinstance(dataset, Dataset):
            for index, row in enumerate(dataset.rows()):
                missing = objects_without_mask(row)
                if len(missing):
                    raise _no_mask(dataset.location(index, int(missing[0])))

    def defaults(self) -> Defaults:
        """Return the default model of detection with masks."""
        return Defaults(
            model_fields(
                CSPDarknet(depth=0.33, width=0.25),
                PathAggregation(depth=0.33),
                AnchorFreeMasks(num_classes=1),
            )
        )

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return the targets of detection, and "masks" (capacity, height / 4, width / 4)."""
        sample = with_upright_boxes(sample)
        targets = object_targets(sample, capacity)
        found = sample.instances
        has_mask = np.zeros(len(found), bool) if found.masks is None else found.masks.present()
        if found.crowd is not None:
            has_mask = has_mask | np.asarray(found.crowd, bool)
        if not has_mask.all():
            raise _no_mask(f"object {int(has_mask.argmin())} of {sample.info.source}")
        size = canvas_of(sample)
        masks = Masks.empty(size) if found.masks is None else found.masks
        return targets | masks.to_targets(capacity, size)

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metrics: COCO's twelve of boxes, and of masks."""
        return [
            CocoMeanAveragePrecision(class_map),
            CocoMeanAveragePrecision(class_map, name="coco_masks", masks=True),
        ]

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the objects of the image with masks of 4 × 4 pixels, without padding."""
        sample = super().ground_truth_of(targets, row, size, index)
        known = np.asarray(target(targets, "classes")[row]) >= 0
        cells = np.asarray(target(targets, "masks")[row])[known].astype(bool)
        pixels = cells.repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)[:, : size[0], : size[1]]
        found = sample.instances.replace(masks=Masks.from_bitmaps(pixels))
        return replace(sample, instances=found)

    def postprocess(
        self, model: Any, score: float | None = None, iou: float | None = None
    ) -> Callable[..., Instances]:
        """Return suppression, followed by the masks of the detections that remain."""
        suppress: Suppression = super().postprocess(model, score, iou)

        def run(**arrays: np.ndarray) -> Instances:
            found = suppress.selected(arrays["boxes"], arrays["scores"])
            rows, boxes, scores, classes = found
            masks = _format_of(arrays).masks(boxes, rows, arrays)
            return Instances(masks.size, Boxes(boxes), classes, scores=scores, masks=masks)

        return run

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the detections as `DetectionTask` does, and the masks of the best boxes."""
        found = super().difference(expected, actual, **suppression)
        actual = in_order_of(expected, actual)
        best = np.argsort(-expected["scores"].max(axis=-1), axis=-1, kind="stable")[:, :_COMPARED]
        one, other = (_format_of(each).probabilities(best, each) for each in (expected, actual))
        return replace(found, masks=max_difference(one, other))

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return the boxes of detection, each with a checkerboard as its mask.

        A mask that fills its box would be right for any coefficients and prototypes, because masks
        are cut off at their boxes.
        """
        targets = super().example_targets(head, levels, size, batch)
        cells = -(-size[0] // STRIDE), -(-size[1] // STRIDE)
        rows, columns = np.ogrid[: cells[0], : cells[1]]
        masks = np.zeros((*targets["classes"].shape, *cells), np.uint8)
        for place in map(tuple, np.argwhere(targets["classes"] >= 0)):
            x1, y1, x2, y2 = np.round(targets["boxes"][place] / STRIDE).astype(int)
            # From the second cell on, so that a small box has edges of squares inside.
            squares = (rows - y1 + 1) // _SQUARE % 2 == (columns - x1 + 1) // _SQUARE % 2
            masks[place][y1:y2, x1:x2] = squares[y1:y2, x1:x2]
        return targets | {"masks": masks}

    def empty_targets(self, head: Any, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return padding alone."""
        return super().empty_targets(head, targets) | {"masks": np.zeros_like(targets["masks"])}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the box with the highest score, and its mask, with those of the image."""
        found = super().match(targets, decoded, image)
        if not (found.learned and found.correct):
            return found
        row = int(decoded["scores"][image].max(axis=-1).argmax())
        wanted = targets["masks"][image, 0].astype(bool).repeat(STRIDE, 0).repeat(STRIDE, 1)
        arrays = {name: array[image] for name, array in decoded.items()}
        masks = _format_of(arrays).masks(arrays["boxes"][row][None], np.array([row]), arrays)
        got = masks.warp(np.eye(3), (wanted.shape[0], wanted.shape[1])).bitmaps()[0]
        overlap = (wanted & got).sum() / max((wanted | got).sum(), 1)
        return Match(
            learned=True,
            correct=bool(overlap >= _MIN_OVERLAP),
            expected=f"a mask of {wanted.sum()} pixels",
            got=f"a mask of {got.sum()} pixels (IoU {overlap:.2f})",
            advice=f"one formula of masks in loss and decoding, for cells of {STRIDE} × {STRIDE} "
            "pixels, of which the first begins at pixel 0",
        )

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check scores and boxes, and the arrays of the masks."""
        if wrong := super().invalid_outputs(head, decoded, size):
            return wrong
        return _format_of(decoded).invalid(decoded, size)


def _format_of(arrays: Arrays) -> MaskFormat:
    found = mask_format(arrays)
    if found is None:
        raise UserError(
            "the decoded arrays have no masks",
            rule="those of a MaskFormat, such as coefficients and prototypes, or masks",
            received=", ".join(arrays),
            fix="decoding=vg.postprocess.PrototypeMaskDecoding(detection=…)",
        )
    return found


def _no_mask(where: str) -> UserError:
    return UserError(
        f"{where} has no mask",
        rule="a mask for each object",
        fix="annotate it, or mark it as a crowd",
    )
