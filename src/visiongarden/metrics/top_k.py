"""Top-1, top-5 and balanced accuracy of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from visiongarden.metrics.metric import refuse_weights
from visiongarden.samples import Sample
from visiongarden.types import ClassMap, Ranking


class TopKAccuracy:
    """Top-k accuracy of predicted class rankings.

    `result` returns "top1" and "top5", the fraction of images whose class is ranked first, or among
    the first five ("top5" only with more than five classes), and "balanced", the mean of the top-1
    accuracy of each class, in which a rare class has the same weight as a frequent one.

    Args:
        class_map: Names of the classes.
        name: Name of the metric.
    """

    def __init__(self, class_map: ClassMap, name: str = "top_k") -> None:
        self.class_map, self.name = class_map, name
        self.ks = tuple(k for k in (1, 5) if k == 1 or k < len(class_map))
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all collected images."""
        self._hits = dict.fromkeys(self.ks, 0)
        # Rows: class in the ground truth. Columns: class ranked first.
        self.confusion = np.zeros((len(self.class_map), len(self.class_map)), np.int64)

    def update_state(
        self, y_true: Sequence[Sample], y_pred: Sequence[Ranking], sample_weight: None = None
    ) -> None:
        """Add images.

        Args:
            y_true: Sample of each image, whose labels contain its class.
            y_pred: Predicted classes of each image, best first.
            sample_weight: Every image counts once, so only None is accepted.

        Raises:
            UserError: Weights are given.
        """
        refuse_weights(self.name, sample_weight)
        for ground_truth, found in zip(y_true, y_pred, strict=True):
            self._add(found, ground_truth)

    def merge_state(self, metrics: Sequence[Self]) -> None:
        """Add the images that other metrics of this class have collected."""
        for other in metrics:
            self.confusion += other.confusion
            for k in self.ks:
                self._hits[k] += other._hits[k]

    def _add(self, found: Ranking, ground_truth: Sample) -> None:
        index = int(np.argmax(np.asarray(ground_truth.labels)))
        for k in self.ks:
            self._hits[k] += bool((found.classes[:k] == index).any())
        self.confusion[index, found.classes[0]] += 1

    def result(self) -> dict[str, float]:
        """Return "top1", "top5" (with more than five classes) and "balanced", 0 to 1.

        A metric is NaN if no image was added.
        """
        count = int(self.confusion.sum())
        metrics = {f"top{k}": _share(self._hits[k], count) for k in self.ks}
        recalls = [entry["top1"] for entry in self.per_class().values()]
        known = [value for value in recalls if not np.isnan(value)]
        return metrics | {"balanced": float(np.mean(known)) if known else float("nan")}

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return "top1" (recall) and "precision" of each class, by class name.

        A value is NaN where its denominator is 0.
        """
        right = np.diag(self.confusion)
        return {
            name: {
                "top1": _share(right[i], self.confusion[i].sum()),
                "precision": _share(right[i], self.confusion[:, i].sum()),
            }
            for i, name in enumerate(self.class_map.names)
        }


def _share(part: int, whole: int) -> float:
    return float(part) / float(whole) if whole else float("nan")
