"""Top-k accuracy of a classifier."""

from __future__ import annotations

import numpy as np

from visiongarden.types import ClassMap, Ranking


class TopKAccuracy:
    """Collects rankings and true classes, and judges them together.

    `result` gives "top1" and "top5" (the share of images whose class is the best, or among the five
    best; "top5" only where there are more than five classes), and "balanced", the mean of each
    class's own share, which a rare class counts in as much as a common one.

    Args:
        class_map: names of the classes.
    """

    def __init__(self, class_map: ClassMap) -> None:
        self.class_map = class_map
        self.ks = tuple(k for k in (1, 5) if k == 1 or k < len(class_map))
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._hits = dict.fromkeys(self.ks, 0)
        # Rows: true class; columns: what was found.
        self.confusion = np.zeros((len(self.class_map), len(self.class_map)), np.int64)

    def update(self, found: Ranking, truth: int) -> None:
        """Adds one image.

        Args:
            found: its classes, best first.
            truth: its class.
        """
        for k in self.ks:
            self._hits[k] += bool((found.classes[:k] == truth).any())
        self.confusion[truth, found.classes[0]] += 1

    def result(self) -> dict[str, float]:
        """The figures, 0 to 1; NaN where nothing was judged."""
        count = int(self.confusion.sum())
        figures = {f"top{k}": _share(self._hits[k], count) for k in self.ks}
        recalls = [entry["top1"] for entry in self.per_class().values()]
        known = [value for value in recalls if not np.isnan(value)]
        return figures | {"balanced": float(np.mean(known)) if known else float("nan")}

    def per_class(self) -> dict[str, dict[str, float]]:
        """For each class "top1" (recall) and "precision"; NaN where there is nothing to divide."""
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
