"""Classification task: scores for each image, evaluated by top-k accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data import ClassificationDataset, ClassificationLoader, read_folders
from visiongarden.metrics import TopKAccuracy
from visiongarden.models import Classifier
from visiongarden.postprocess import Rank
from visiongarden.samples.resizing import cover
from visiongarden.tasks.task import Task, refuse_iou, target
from visiongarden.transforms import ClassificationAugmentation
from visiongarden.types import ClassMap, ImageSize, Placement, Ranking


class Classification(Task):
    """Image classification: a score for each class."""

    name = "classification"
    model = Classifier
    formats = ("folders",)
    dataset = ClassificationDataset
    loads = ClassificationLoader
    augmentation = ClassificationAugmentation
    outputs = ("scores",)
    metrics = ("top1", "top5")
    metrics_name = "top-k accuracy"

    def read(
        self,
        path: str | Path,
        format: str = "auto",
        split: str = "train",
        class_names: Sequence[str] | None = None,
        invalid_boxes: str = "error",
    ) -> ClassificationDataset:
        """Read a split from folders of classes; see `visiongarden.data.read_folders`."""
        return read_folders(path, split, class_names)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Resize the image so that it covers the canvas, and crop it at the center."""
        return cover(image, size)

    def metric(self, class_map: ClassMap) -> TopKAccuracy:
        """Create the metric: top-1, top-5 and the mean accuracy per class."""
        return TopKAccuracy(class_map)

    def ground_truth(self, dataset: ClassificationDataset, index: int) -> int:
        """Return the class of the image."""
        return dataset.classes[index]

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> int:
        """Return the class with the highest probability."""
        return int(target(targets, "classes")[row].argmax())

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Rank:
        """Return a function that ranks the classes by score, best first."""
        refuse_iou(self, iou)
        return Rank(score_threshold=score or 0.0)

    def to_original(self, found: Ranking, placement: Placement, size: ImageSize) -> Ranking:
        """Return the ranking unchanged; it contains no pixels."""
        return found
