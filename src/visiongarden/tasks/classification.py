"""Classification task: scores for each image, evaluated by top-k accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.metrics import TopKAccuracy
from visiongarden.models import Classifier
from visiongarden.postprocess import Rank
from visiongarden.samples import ImageInfo, Sample
from visiongarden.tasks.task import Task, refuse_iou, target
from visiongarden.transforms import HorizontalFlip, RandomResizedCrop, Transform
from visiongarden.types import ClassMap, ImageSize, Placement, Ranking

_ROUNDING = 1e-3
"""Difference of the sum of labels from 1 that rounding explains."""


class Classification(Task):
    """Image classification: a score for each class."""

    name = "classification"
    model = Classifier
    needs = ("labels",)
    resize = "cover"
    detail = 1.5
    outputs = ("scores",)
    metrics = ("top1", "top5")
    metrics_name = "top-k accuracy"

    def check(self, dataset: Any) -> None:
        """Refuse a dataset whose images have no class each.

        Raises:
            UserError: There are no labels, or they are values or several classes of an image.
        """
        super().check(dataset)
        if dataset.label_map is not None:
            raise UserError(
                f"the labels of {dataset.root} are values: {', '.join(dataset.label_map.names)}",
                rule="one class for each image",
                fix="a reader of classes, or a head of your own for these values",
            )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return a random crop and flip, which suit hundreds to thousands of images."""
        return (RandomResizedCrop(), HorizontalFlip())

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "labels": float32 (classes,), the probability of each class."""
        labels = np.asarray(sample.labels, np.float32)
        # Mixed images have several classes, whose shares add up to 1.
        if not abs(float(labels.sum()) - 1) < _ROUNDING:
            raise UserError(
                f"the labels of {sample.info.source} are not one class",
                rule="labels that add up to 1",
                received=f"{labels.tolist()!r:.100}",
                fix="one class for each image",
            )
        return {"labels": labels}

    def metric(self, class_map: ClassMap) -> TopKAccuracy:
        """Create the metric: top-1, top-5 and the mean accuracy per class."""
        return TopKAccuracy(class_map)

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the probabilities of the classes."""
        return Sample(ImageInfo(index, None, size), labels=target(targets, "labels")[row])

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Rank:
        """Return a function that ranks the classes by score, best first."""
        refuse_iou(self, iou)
        return Rank(score_threshold=score or 0.0)

    def to_original(self, found: Ranking, placement: Placement, size: ImageSize) -> Ranking:
        """Return the ranking unchanged; it contains no pixels."""
        return found
