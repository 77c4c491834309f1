"""Detection task: boxes with classes and scores, evaluated by the COCO protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.data.rows import upright
from visiongarden.data.targets import object_targets
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.models import Detector
from visiongarden.postprocess import Nms, suppression, to_original
from visiongarden.samples import Boxes, ImageInfo, Instances, RotatedBoxes, Sample
from visiongarden.tasks.task import Task, target
from visiongarden.transforms import HSV, Affine, HorizontalFlip, Mosaic, Transform
from visiongarden.types import ClassMap, ImageSize, Placement

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""NMS of the COCO protocol: nearly all detections count, and a box may have several classes."""

SMALL_DATASET = 192
"""Images in the smallest dataset that has enough steps at the default batch size and epochs."""

_TINY_DATASET = 64
"""Images below which mosaics and strong changes of scale hinder more than they help."""

_LAST_EPOCHS = 10
"""Epochs at the end of a run without mosaics (Ge et al. 2021, YOLOX, has 15 of 300)."""


class Detection(Task):
    """Object detection: a box, a class and a score for each object."""

    name = "detection"
    model = Detector
    needs = ("boxes",)
    outputs = ("boxes", "scores")
    metrics = ("AP", "AP50")
    metrics_name = "COCO metrics"
    score = 0.25

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return the transforms of YOLOv8's published configuration, adapted to small datasets.

        Datasets of fewer than 64 images have no mosaics, and images are scaled by 20 % instead of
        50 % at most: both show objects smaller than they are, and the short runs on such datasets
        do not learn all sizes. On 16 photographs with 38 of 80 classes, 300 epochs reached AP 0.57
        without mosaics and 0.68 with the smaller scale, too. In other runs the last ten epochs show
        whole images. They suit 60 epochs; in a run of 300 epochs the cosine has lowered the
        learning rate below 1.5 % of its peak by then, so a sixth of the epochs is used for datasets
        of fewer than 192 images.
        """
        if images is not None and images < _TINY_DATASET:
            return (Affine(scale=0.2), HorizontalFlip(), HSV())
        last = _LAST_EPOCHS
        if images is not None and epochs is not None and images < SMALL_DATASET:
            last = max(last, epochs // 6)
        return (Mosaic(skip_last_epochs=last), Affine(), HorizontalFlip(), HSV())

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "boxes" (capacity, 4), "classes" (capacity,) and "crowd" (capacity,).

        Rotated boxes become the axis-aligned boxes around them, clipped to the image.
        """
        return object_targets(with_upright_boxes(sample), capacity)

    def metric(self, class_map: ClassMap) -> CocoMeanAveragePrecision:
        """Create the metric: the twelve COCO metrics."""
        return CocoMeanAveragePrecision(class_map)

    def ground_truth(self, dataset: Any, index: int) -> Sample:
        """Return the objects of the image, with axis-aligned boxes."""
        return with_upright_boxes(super().ground_truth(dataset, index))

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the objects of the image, without padding."""
        boxes, classes = target(targets, "boxes")[row], target(targets, "classes")[row]
        known = classes >= 0
        instances = Instances(
            size,
            Boxes(boxes[known]),
            classes[known].astype(np.int32),
            crowd=np.asarray(targets["crowd"][row], bool)[known] if "crowd" in targets else None,
        )
        return Sample(ImageInfo(index, None, size), instances=instances)

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return NMS, or a selection of the best boxes if the head needs no NMS.

        Without a `score`, as in evaluation, the settings are those of the COCO protocol.
        """
        nms = COCO_NMS if score is None else Nms(score_threshold=score)
        nms = nms if iou is None else nms.replace(iou_threshold=iou)
        return suppression(model.parts.head.decode(), nms)

    def to_original(self, found: Instances, placement: Placement, size: ImageSize) -> Instances:
        """Return the boxes in pixels of the original image, clipped to it."""
        return to_original(found, placement, size)


def with_upright_boxes(sample: Sample) -> Sample:
    """Return a sample whose rotated boxes are replaced by the axis-aligned boxes around them."""
    found = sample.instances
    if not isinstance(found.boxes, RotatedBoxes):
        return sample
    boxes = Boxes(upright(np.asarray(found.boxes))).clip(found.size)
    return replace(sample, instances=found.replace(boxes=boxes))
