"""Detection task: boxes with classes and scores, evaluated by the COCO protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data import FORMATS, DetectionDataset, Loader, read_boxes
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.models import Detector
from visiongarden.postprocess import Nms, suppression, to_original
from visiongarden.samples import Instances
from visiongarden.samples.resizing import letterbox
from visiongarden.tasks.task import Task, target
from visiongarden.transforms import Augmentation
from visiongarden.types import ClassMap, Example, ImageSize, Placement

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""NMS of the COCO protocol: nearly all detections count, and a box may have several classes."""


class Detection(Task):
    """Object detection: a box, a class and a score for each object."""

    name = "detection"
    model = Detector
    formats = FORMATS
    dataset = DetectionDataset
    loads = Loader
    augmentation = Augmentation
    outputs = ("boxes", "scores")
    metrics = ("AP", "AP50")
    metrics_name = "COCO metrics"
    score = 0.25

    def read(
        self,
        path: str | Path,
        format: str = "auto",
        split: str = "train",
        class_names: Sequence[str] | None = None,
        invalid_boxes: str = "error",
        one_based: bool = False,
    ) -> DetectionDataset:
        """Read a split of boxes; see `visiongarden.data.readers`."""
        return read_boxes(path, format, split, class_names, invalid_boxes, one_based)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Letterbox the image."""
        return letterbox(image, size)

    def metric(self, class_map: ClassMap) -> CocoMeanAveragePrecision:
        """Create the metric: the twelve COCO metrics."""
        return CocoMeanAveragePrecision(class_map)

    def ground_truth(self, dataset: DetectionDataset, index: int) -> Example:
        """Return the example with its boxes and classes."""
        return dataset[index]

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Example:
        """Return the boxes of the image, without padding."""
        boxes, classes = target(targets, "boxes")[row], target(targets, "classes")[row]
        known = classes >= 0
        return Example(
            boxes=boxes[known].astype(np.float32),
            classes=classes[known].astype(np.int32),
            image_id=index,
            size=size,
            crowd=np.asarray(targets["crowd"][row], bool)[known] if "crowd" in targets else None,
        )

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
