"""Segmentation task: a class for each pixel, evaluated by mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data import SegmentationDataset, SegmentationLoader, read_masks
from visiongarden.metrics import MeanIoU
from visiongarden.models import Segmenter
from visiongarden.postprocess import best_of_each
from visiongarden.samples.resizing import letterbox
from visiongarden.tasks.task import Task, refuse_iou, target
from visiongarden.transforms import SegmentationAugmentation
from visiongarden.types import ClassMap, ImageSize, Placement, Segments


class Segmentation(Task):
    """Semantic segmentation: a class for each pixel."""

    name = "segmentation"
    model = Segmenter
    formats = ("masks",)
    dataset = SegmentationDataset
    loads = SegmentationLoader
    augmentation = SegmentationAugmentation
    outputs = ("scores",)
    metrics = ("mIoU", "accuracy")
    metrics_name = "mean IoU"

    def read(
        self,
        path: str | Path,
        format: str = "auto",
        split: str = "train",
        class_names: Sequence[str] | None = None,
        invalid_boxes: str = "error",
    ) -> SegmentationDataset:
        """Read a split of masks; see `visiongarden.data.read_masks`."""
        return read_masks(path, split, class_names)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Letterbox the image."""
        return letterbox(image, size)

    def metric(self, class_map: ClassMap) -> MeanIoU:
        """Create the metric: mean IoU and accuracies, in pixels of the original images."""
        return MeanIoU(class_map)

    def ground_truth(self, dataset: SegmentationDataset, index: int) -> np.ndarray:
        """Return the mask of the image."""
        return dataset.load(index)[1]

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> np.ndarray:
        """Return the mask of the image."""
        return target(targets, "masks")[row]

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return a function that changes nothing.

        The best class is chosen in `to_original`, after the scores are resized to the original
        image: a resized mask of classes would have jagged edges.
        """
        refuse_iou(self, iou)
        return _identity

    def to_original(self, found: np.ndarray, placement: Placement, size: ImageSize) -> Segments:
        """Return the best class of each pixel of the original image."""
        return best_of_each(found, placement, size)


def _identity(scores: np.ndarray) -> np.ndarray:
    return scores
