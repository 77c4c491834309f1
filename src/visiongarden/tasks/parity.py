"""`Parity`: differences between the decoded arrays of an exported file and of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from visiongarden.markup import Preformatted
from visiongarden.terminal import counted

Arrays: TypeAlias = Mapping[str, np.ndarray]
"""Decoded arrays by name, batch first."""

MAX_PIXELS = 0.1
"""Tolerance of a box coordinate, in pixels."""
MAX_SCORE = 1e-3
"""Tolerance of a score, and of other values relative to those above 1."""
_ROUNDING, _SHARE = 1e-5, 0.1
"""Smallest tolerance of a score where decisions are compared, and its share of their spread."""


@dataclass(frozen=True)
class Parity(Preformatted):
    """Differences between the outputs of an exported file and of its model.

    Attributes:
        scores: Largest difference of a score, before any threshold; of other values relative to
            those above 1.
        images: Number of images compared.
        found: Number of detections, classes, pixels or values that the model predicts for them.
        differing: Number of images for which file and model predict different results. Detection:
            one has a box of a class that the other lacks. Classification and segmentation: the best
            class differs. Scores and boxes that are equal up to the tolerance decide equally.
            Other tasks: a value differs by more than the tolerance.
        what: What `found` counts.
        boxes: Largest difference of a box coordinate before suppression, in pixels; relative to
            400 pixels for boxes with longer sides; None without boxes.
        masks: Largest difference of a pixel's probability in a mask, for the twenty best boxes of
            each image; None without masks.
    """

    scores: float
    images: int
    found: int
    differing: int
    what: str = "detections"
    boxes: float | None = None
    masks: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert the differences to a JSON-serializable dict."""
        found = asdict(self) | {"boxes": self.boxes or 0.0, "agrees": self.agrees}
        if self.masks is None:
            del found["masks"]
        return found

    @property
    def agrees(self) -> bool:
        """Whether both are equal up to rounding."""
        probabilities = max(self.scores, self.masks or 0.0)
        return (
            (self.boxes or 0.0) <= MAX_PIXELS and probabilities <= MAX_SCORE and not self.differing
        )

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        boxes = "" if self.boxes is None else f"boxes within {self.boxes:.2g} px, "
        boxes += "" if self.masks is None else f"masks within {self.masks:.2g}, "
        compared = "values" if self.what == "values" else "scores"
        return (
            f"{verdict}: {self.found:,} {self.what} on {counted(self.images, 'image')}, "
            f"{self.differing} of which differ; {boxes}{compared} within {self.scores:.2g}"
        )


def difference_of(expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]) -> Parity:
    """Compare arrays of any values, relative to those above 1.

    Args:
        expected: Arrays of the model by name, batch first.
        actual: Arrays of the file.
    """
    count = len(next(iter(expected.values())))
    relative = np.zeros(count)
    for name, one in expected.items():
        other = actual[name]
        apart = np.abs(one - other) / np.maximum(np.abs(one), 1)
        relative = np.maximum(relative, apart.reshape(count, -1).max(axis=1, initial=0))
    return Parity(
        scores=float(relative.max(initial=0)),
        images=count,
        found=sum(array.size for array in expected.values()),
        # Not `> MAX_SCORE`: a NaN differs, too.
        differing=int((~(relative <= MAX_SCORE)).sum()),
        what="values",
    )


def decisions(scores: np.ndarray, others: np.ndarray, what: str) -> Parity:
    """Compare the best class of each image or pixel.

    Args:
        scores: Scores of the model (batch, ..., classes).
        others: Scores of the file.
        what: What is classified: "classes" or "pixels".
    """
    compared = without_rounding(scores, others, score_tolerance(scores))
    other = scores.argmax(axis=-1) != compared.argmax(axis=-1)
    return Parity(
        scores=max_difference(scores, others),
        images=len(scores),
        found=int(np.prod(scores.shape[:-1])),
        differing=int(other.reshape(len(scores), -1).any(axis=1).sum()),
        what=what,
    )


def applying(scores: np.ndarray, others: np.ndarray, threshold: float) -> Parity:
    """Compare the classes that apply to each image.

    Args:
        scores: Scores of the model (batch, classes).
        others: Scores of the file.
        threshold: Score from which a class applies.
    """
    compared = without_rounding(scores, others, score_tolerance(scores))
    other = (scores >= threshold) != (compared >= threshold)
    return Parity(
        scores=max_difference(scores, others),
        images=len(scores),
        found=scores.size,
        differing=int(other.any(axis=1).sum()),
        what="labels",
    )


def score_tolerance(scores: np.ndarray) -> np.ndarray:
    """Return the tolerance of each class where decisions are compared, (classes,).

    It is a tenth of the standard deviation of the class's scores, at most `MAX_SCORE`. The scores
    of a model with little training differ by less than that constant, which would then accept any
    decision.

    Args:
        scores: Scores of the model (..., classes).
    """
    spread = scores.astype(np.float64).std(axis=tuple(range(scores.ndim - 1)))
    return np.clip(_SHARE * spread, _ROUNDING, MAX_SCORE)


def without_rounding(
    expected: np.ndarray, actual: np.ndarray, tolerance: float | np.ndarray
) -> np.ndarray:
    """Return the values of a file, with those of the model where they are within the tolerance.

    Decisions between nearly equal values, such as which of two boxes suppresses the other, are then
    the same unless a value differs by more.
    """
    # Not `> tolerance`: a NaN is not equal to anything.
    return np.where(np.abs(expected - actual) <= tolerance, expected, actual)


def max_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two arrays of one shape."""
    return float(np.abs(one - other).max(initial=0))
