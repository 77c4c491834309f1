"""Errors of predicted values: mean absolute error, root mean square error and R2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.metrics.metric import refuse_weights
from visiongarden.samples import Sample
from visiongarden.types import ClassMap, Values


class RegressionErrors:
    """Errors of the values that a regression predicts for each image.

    `per_class` returns for each value "MAE", the mean absolute error, "RMSE", the root mean square
    error, and "bias", the mean of prediction minus ground truth, all in the unit of the value;
    "R2", the coefficient of determination 1 - sum((y - x)^2) / sum((y - mean(y))^2); and "images",
    the number of images whose value is known. Unknown values, NaN, are not counted.

    `result` returns "R2", the mean over the values, which have different units; with one value also
    its "MAE", "RMSE" and "bias". R2 is 1 for a perfect prediction and 0 for that of the mean. Of a
    value that is the same for all images, it is 1 if each prediction is exact, else 0, as
    scikit-learn defines it; it is NaN if a value is known for fewer than two images.

    Args:
        class_map: Names of the values.
        name: Name of the metric.

    Example:
        >>> errors = vg.metrics.RegressionErrors(vg.ClassMap(("angle",)))
        >>> label_map = vg.types.LabelMap(("angle",))
        >>> for angle, found in ((1.0, 1.5), (3.0, 2.5)):
        ...     sample = vg.samples.Sample(
        ...         vg.samples.ImageInfo(0, None, (8, 8)), labels=np.array([angle])
        ...     )
        ...     errors.update_state([sample], [vg.types.Values(np.array([found]), label_map)])
        >>> errors.result()
        {'R2': 0.75, 'MAE': 0.5, 'RMSE': 0.5, 'bias': 0.0}
    """

    def __init__(self, class_map: ClassMap, name: str = "regression_errors") -> None:
        self.class_map, self.name = class_map, name
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all images."""
        self._true: list[np.ndarray] = []
        self._found: list[np.ndarray] = []

    def update_state(
        self, y_true: Sequence[Sample], y_pred: Sequence[Values], sample_weight: None = None
    ) -> None:
        """Add images.

        Args:
            y_true: Sample of each image, whose labels are its values; NaN is unknown.
            y_pred: Predicted values of each image.
            sample_weight: Every image counts once, so only None is accepted.

        Raises:
            UserError: Weights are given, or an image has another number of values.
        """
        refuse_weights(self.name, sample_weight)
        for sample, found in zip(y_true, y_pred, strict=True):
            labels = np.asarray(sample.labels, np.float64)
            for array in (labels, found.values):
                if array.shape != (len(self.class_map.names),):
                    raise UserError(
                        f"the image {sample.info.id!r} has values of shape {array.shape}",
                        rule=f"one value for each of {', '.join(self.class_map.names)}",
                    )
            self._true.append(labels)
            self._found.append(np.asarray(found.values, np.float64))

    def merge_state(self, metrics: Sequence[Self]) -> None:
        """Add the images that other metrics of this class have collected."""
        for other in metrics:
            self._true += other._true
            self._found += other._found

    def result(self) -> dict[str, float]:
        """Return "R2", and the errors of a single value."""
        values = self.per_class()
        scores = [row["R2"] for row in values.values()]
        known = [score for score in scores if not np.isnan(score)]
        found = {"R2": float(np.mean(known)) if known else float("nan")}
        if len(values) == 1:
            (row,) = values.values()
            found |= {name: row[name] for name in ("MAE", "RMSE", "bias")}
        return found

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the errors of each value, by its name."""
        shape = (len(self._true), len(self.class_map.names))
        true, found = (np.reshape(rows, shape) for rows in (self._true, self._found))
        return {
            name: _errors(true[:, i], found[:, i]) for i, name in enumerate(self.class_map.names)
        }


def _errors(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    known = ~np.isnan(true)
    true, found = true[known], found[known]
    count = len(true)
    if not count:
        return dict.fromkeys(("MAE", "RMSE", "bias", "R2"), float("nan")) | {"images": 0}
    error = found - true
    return {
        "MAE": float(np.abs(error).mean()),
        "RMSE": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "R2": _r2(true, error),
        "images": count,
    }


def _r2(true: np.ndarray, error: np.ndarray) -> float:
    if len(true) < 2:
        return float("nan")
    # Not by the variance: that of a constant ground truth has rounding errors of its mean.
    if not np.ptp(true) > 0:
        return 0.0 if error.any() else 1.0
    return 1 - float((error**2).sum()) / float(((true - true.mean()) ** 2).sum())
