"""Mean intersection over union of segmented pixels."""

from __future__ import annotations

import numpy as np

from visiongarden.errors import UserError
from visiongarden.types import IGNORE, ClassMap, Segments


class MeanIoU:
    """Counts pixels over all images, and judges them together (Long et al. 2015, section 5).

    `result` gives "mIoU", the mean over the classes that stand in a truth or were found;
    "accuracy", the share of right pixels; and "balanced", the mean of each true class's own share.
    Pixels whose truth is 255 are not counted.

    Args:
        class_map: names of the classes.
    """

    def __init__(self, class_map: ClassMap) -> None:
        self.class_map = class_map
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        # Rows: true class; columns: what was found.
        self.confusion = np.zeros((len(self.class_map), len(self.class_map)), np.int64)

    def update(self, found: Segments, truth: np.ndarray) -> None:
        """Adds one image.

        Args:
            found: the class of each pixel.
            truth: integers (height, width); 255 is ignored.

        Raises:
            UserError: the shapes differ, or a value is outside the class map.
        """
        count = len(self.class_map)
        if found.classes.shape != truth.shape:
            raise UserError(
                "masks of different sizes cannot be compared",
                rule=f"the truth's, {truth.shape}",
                received=str(found.classes.shape),
            )
        counted = truth != IGNORE
        rows = truth[counted].astype(np.int64)
        columns = found.classes[counted].astype(np.int64)
        if max(rows.max(initial=0), columns.max(initial=0)) >= count:
            raise UserError(f"a mask holds a class outside the {count} of the class map")
        pairs = np.bincount(rows * count + columns, minlength=count * count)
        self.confusion += pairs.reshape(count, count)

    def result(self) -> dict[str, float]:
        """The figures, 0 to 1; NaN where no pixel was judged."""
        each = self.per_class().values()
        right, count = np.diag(self.confusion).sum(), self.confusion.sum()
        return {
            "mIoU": _mean([entry["IoU"] for entry in each]),
            "accuracy": float(right / count) if count else float("nan"),
            "balanced": _mean([entry["accuracy"] for entry in each]),
        }

    def per_class(self) -> dict[str, dict[str, float]]:
        """For each class "IoU" and "accuracy" (recall); NaN where there is nothing to divide."""
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
