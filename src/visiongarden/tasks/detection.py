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
from visiongarden.types import ClassMap, Detections, ImageSize, Placement

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""NMS of the COCO protocol: nearly all detections count, and a box may have several classes."""


class Detection(Task):
    """Object detection: a box, a class and a score for each object."""

    name = "detection"
    model = Detector
    needs = ("boxes",)
    outputs = ("boxes", "scores")
    metrics = ("AP", "AP50")
    metrics_name = "COCO metrics"
    score = 0.25

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

    def to_original(self, found: Detections, placement: Placement, size: ImageSize) -> Detections:
        """Return the boxes in pixels of the original image, clipped to it."""
        return to_original(found, placement, size)


def with_upright_boxes(sample: Sample) -> Sample:
    """Return a sample whose rotated boxes are replaced by the axis-aligned boxes around them."""
    found = sample.instances
    if not isinstance(found.boxes, RotatedBoxes):
        return sample
    boxes = Boxes(upright(np.asarray(found.boxes))).clip(found.size)
    return replace(sample, instances=found.replace(boxes=boxes))
