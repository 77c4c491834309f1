"""Average precision and F1 score of several labels per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from visiongarden.metrics.metric import refuse_weights
from visiongarden.samples import Sample
from visiongarden.types import ClassMap, Ranking


class MultiLabelScores:
    """Average precision of each class, and F1 scores at a threshold.

    `result` returns "mAP", the mean of the average precisions; "F1", the mean of the F1 scores of
    the classes; and "F1_micro", the F1 score of all labels together. `per_class` returns for each
    class "AP", "F1", "precision" and "recall", and "images", the number of images with this label.
    The average precision is the sum of precision times increase of recall over all thresholds,
    without interpolation. Unknown labels, NaN, are not counted.

    Args:
        class_map: Names of the classes.
        threshold: Score from which a class applies, 0 to 1.
        name: Name of the metric.

    Example:
        >>> names = vg.ClassMap(("cat", "dog"))
        >>> scores = vg.metrics.MultiLabelScores(names)
        >>> info = vg.samples.ImageInfo(0, None, (8, 8))
        >>> sample = vg.samples.Sample(info, labels=np.array([1.0, 0.0]))
        >>> found = vg.types.Ranking(np.array([0, 1]), np.array([0.9, 0.6]))
        >>> scores.update_state([sample], [found])
        >>> round(scores.result()["F1_micro"], 3)  # one label is right, one is wrong
        0.667
    """

    def __init__(
        self, class_map: ClassMap, threshold: float = 0.5, name: str = "multi_label"
    ) -> None:
        self.class_map, self.threshold, self.name = class_map, threshold, name
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all images."""
        self._true: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []

    def update_state(
        self, y_true: Sequence[Sample], y_pred: Sequence[Ranking], sample_weight: None = None
    ) -> None:
        """Add images.

        Args:
            y_true: Sample of each image, whose labels are 1, 0, or NaN for unknown.
            y_pred: Scores of the classes of each image; a missing class has the score 0.
            sample_weight: Every label counts once, so only None is accepted.

        Raises:
            UserError: Weights are given.
        """
        refuse_weights(self.name, sample_weight)
        for sample, found in zip(y_true, y_pred, strict=True):
            scores = np.zeros(len(self.class_map), np.float32)
            scores[found.classes] = found.scores
            self._true.append(np.asarray(sample.labels, np.float32))
            self._scores.append(scores)

    def merge_state(self, metrics: Sequence[Self]) -> None:
        """Add the images that other metrics of this class have collected."""
        for other in metrics:
            self._true += other._true
            self._scores += other._scores

    def result(self) -> dict[str, float]:
        """Return "mAP", "F1" and "F1_micro", 0 to 1.

        A value is NaN where there is nothing to compute it from.
        """
        rows = self.per_class().values()
        true, scores = self._arrays()
        known = ~np.isnan(true)
        micro = _rates(true[known] >= 0.5, scores[known] >= self.threshold)["F1"]
        means = {name: _mean([row[key] for row in rows]) for name, key in _MEANS.items()}
        return means | {"F1_micro": micro}

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the scores of each class, by its name."""
        true, scores = self._arrays()
        found = {}
        for index, name in enumerate(self.class_map.names):
            known = ~np.isnan(true[:, index])
            labels, own = true[known, index] >= 0.5, scores[known, index]
            found[name] = {
                "AP": average_precision(labels, own),
                **_rates(labels, own >= self.threshold),
                "images": int(labels.sum()),
            }
        return found

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(self._true), len(self.class_map))
        return np.reshape(self._true, shape), np.reshape(self._scores, shape)


_MEANS = {"mAP": "AP", "F1": "F1"}


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the steps of the precision-recall curve; NaN without a positive.

    Args:
        labels: bool (n,).
        scores: (n,); equal scores are one point of the curve.
    """
    positives = int(labels.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    # The last of each run of equal scores.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    right = np.cumsum(labels)[ends]
    recall = np.concatenate([[0], right / positives])
    return float((np.diff(recall) * right / (ends + 1)).sum())


def _rates(labels: np.ndarray, found: np.ndarray) -> dict[str, float]:
    right = int((labels & found).sum())
    true, predicted = int(labels.sum()), int(found.sum())
    return {
        "F1": _share(2 * right, true + predicted),
        "precision": _share(right, predicted),
        "recall": _share(right, true),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
