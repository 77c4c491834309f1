"""Detection: boxes with classes, judged by COCO's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data import FORMATS, DetectionDataset, Loader, read
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.models import Detector
from visiongarden.postprocess import Nms, thinning, to_original
from visiongarden.samples.resizing import letterbox
from visiongarden.tasks.task import Task
from visiongarden.transforms import Augmentation
from visiongarden.types import ClassMap, Detections, Example, ImageSize, Placement

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""COCO's protocol wants every detection, down to the faintest."""


class Detection(Task):
    """Find objects: a box, a class and a score for each."""

    name = "detection"
    model = Detector
    formats = FORMATS
    loads = Loader
    augmentation = Augmentation
    outputs = ("boxes", "scores")
    figures = ("AP", "AP50")
    judged_by = "COCO figures"
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
        """See `visiongarden.data.readers`."""
        return read(path, format, split, class_names, invalid_boxes, one_based)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Letterboxed."""
        return letterbox(image, size)

    def metric(self, class_map: ClassMap) -> CocoMeanAveragePrecision:
        """COCO's twelve figures."""
        return CocoMeanAveragePrecision(class_map)

    def truth(self, dataset: DetectionDataset, index: int) -> Example:
        """The example's boxes and classes."""
        return dataset[index]

    def postprocess(self, model: Any, score: float | None = None) -> Any:
        """Non-maximum suppression, where the head needs it; COCO's where all detections count."""
        nms = COCO_NMS if score is None else Nms(score_threshold=score)
        return thinning(model.parts.head.decode(), nms)

    def to_original(self, found: Detections, placement: Placement, size: ImageSize) -> Detections:
        """Boxes in pixels of the original image, clipped to it."""
        return to_original(found, placement, size)
