"""Mean intersection over union of segmented pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.metrics.metric import refuse_weights
from visiongarden.samples import Sample
from visiongarden.types import IGNORE, ClassMap, Segments


class MeanIoU:
    """Mean intersection over union of segmentation masks (Long et al. 2015, section 5).

    Pixels are counted in one confusion matrix over all images. `result` returns "mIoU", the mean
    IoU over the classes that occur in the ground truth or in a prediction; "accuracy", the fraction
    of pixels classified correctly; and "balanced", the mean of the recall of each class in the
    ground truth. Pixels with ground truth 255 are not counted.

    Args:
        class_map: Names of the classes.
        name: Name of the metric.
    """

    def __init__(self, class_map: ClassMap, name: str = "mean_iou") -> None:
        self.class_map, self.name = class_map, name
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all counted pixels."""
        # Rows: class in the ground truth. Columns: predicted class.
        self.confusion = np.zeros((len(self.class_map), len(self.class_map)), np.int64)

    def update_state(
        self, y_true: Sequence[Sample], y_pred: Sequence[Segments], sample_weight: None = None
    ) -> None:
        """Add the pixels of images.

        Args:
            y_true: Sample of each image, with the semantic mask (height, width); 255 is ignored.
            y_pred: Predicted class of each pixel of each image.
            sample_weight: Every pixel counts once, so only None is accepted.

        Raises:
            UserError: The shapes differ, a value is not a class of the class map, or weights are
                given.
        """
        refuse_weights(self.name, sample_weight)
        for ground_truth, found in zip(y_true, y_pred, strict=True):
            self._add(found, ground_truth)

    def merge_state(self, metrics: Sequence[Self]) -> None:
        """Add the pixels that other metrics of this class have counted."""
        for other in metrics:
            self.confusion += other.confusion

    def _add(self, found: Segments, ground_truth: Sample) -> None:
        count = len(self.class_map)
        mask = np.asarray(ground_truth.semantic)
        if found.classes.shape != mask.shape:
            raise UserError(
                "masks of different sizes cannot be compared",
                rule=f"{mask.shape}, the shape of the ground truth",
                received=str(found.classes.shape),
            )
        counted = mask != IGNORE
        rows = mask[counted].astype(np.int64)
        columns = found.classes[counted].astype(np.int64)
        if max(rows.max(initial=0), columns.max(initial=0)) >= count:
            raise UserError(
                f"a mask contains a class index outside the {count} classes of the class map"
            )
        # Each (ground truth, prediction) pair as one number, so that one pass of `bincount` fills
        # the whole confusion matrix.
        pairs = np.bincount(rows * count + columns, minlength=count * count)
        self.confusion += pairs.reshape(count, count)

    def result(self) -> dict[str, float]:
        """Return "mIoU", "accuracy" and "balanced", 0 to 1; NaN if no pixel was counted."""
        each = self.per_class().values()
        right, count = np.diag(self.confusion).sum(), self.confusion.sum()
        return {
            "mIoU": _mean([entry["IoU"] for entry in each]),
            "accuracy": float(right / count) if count else float("nan"),
            "balanced": _mean([entry["accuracy"] for entry in each]),
        }

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return "IoU" and "accuracy" (recall) of each class, by class name.

        A value is NaN where its denominator is 0, that is for a class that does not occur.
        """
        right = np.diag(self.confusion).astype(np.float64)
        true, found = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        with np.errstate(invalid="ignore"):
            overlap, recall = right / (true + found - right), right / true
        return {
            name: {"IoU": float(overlap[i]), "accuracy": float(recall[i])}
            for i, name in enumerate(self.class_map.names)
        }


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
