"""Grading: image classes with an order, such as ripeness, by CORAL (Cao et al. 2020).

A head with one weight vector and a bias for each threshold predicts the probability that the grade
is above each threshold (arXiv 1901.07884, section 3.3). The metric is Cohen's kappa with quadratic
weights (Cohen 1968), for which a grade that is wrong by two is four times as bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from pydantic import PositiveInt

import visiongarden as vg
from visiongarden.types import Term


@vg.register
class Thresholds(keras.layers.Layer):
    """Add a trainable bias for each threshold to one score: (batch, 1) -> (batch, count).

    Args:
        count: Number of thresholds.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    examples: ClassVar[dict[str, Any]] = {"inputs": (2, 1)}  # with which `check` calls it

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape: Any) -> None:
        """Create the biases."""
        self.bias = self.add_weight(shape=(self.count,), initializer="zeros", name="bias")

    def call(self, x: vg.Tensor) -> vg.Tensor:
        """Return a logit for each threshold."""
        return x + ops.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, count)."""
        return (*input_shape[:-1], self.count)


def above(labels: vg.Tensor) -> vg.Tensor:
    """Return the probability that the grade is above each threshold: (batch, classes - 1)."""
    labels = ops.cast(labels, "float32")
    return ops.flip(ops.cumsum(ops.flip(labels, -1), axis=-1), -1)[:, 1:]


@vg.register
class GradingLoss(vg.losses.Loss):
    """Binary cross-entropy of each threshold (equation 4), averaged over the images.

    Attributes:
        score_loss: Loss of the logits of the thresholds.
    """

    terms: ClassVar[tuple[str, ...]] = ("grade",)
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    score_loss: vg.losses.ScoreLoss = vg.losses.BinaryCrossentropy()

    def __call__(self, raw: Any, targets: Any, context: Any) -> dict[str, Term]:
        """Return the sum over the images, and their number."""
        (level,) = raw.values()
        each = self.score_loss(above(targets["labels"]), ops.cast(level["above"], "float32"))
        images = ops.sum(ops.ones_like(each[:, 0]))
        return {"grade": Term(ops.sum(each), images)}


@vg.register
class GradingDecoding(vg.postprocess.Decoding):
    """Probability of each grade: differences of those of the thresholds."""

    outputs: ClassVar[tuple[str, ...]] = ("scores",)
    needs_nms: bool = False

    def __call__(self, raw: Any, context: Any) -> dict[str, vg.Tensor]:
        """Return "scores" (batch, classes), which sum to 1."""
        (level,) = raw.values()
        logits = ops.cast(level["above"], "float32")
        # The biases need not be in order before training is complete; the smallest decides.
        steps = ops.sigmoid(logits)
        lowest = steps[:, :1]
        ordered = [lowest]
        for index in range(1, logits.shape[-1]):
            lowest = ops.minimum(lowest, steps[:, index : index + 1])
            ordered.append(lowest)
        edges = ops.concatenate(ordered, axis=-1)
        ones = ops.ones_like(edges[:, :1])
        upper = ops.concatenate([ones, edges], axis=-1)
        lower = ops.concatenate([edges, ops.zeros_like(ones)], axis=-1)
        return {"scores": upper - lower}


@vg.register
class Grading(vg.Head):
    """Grade of an image from the mean of the coarsest feature map.

    Attributes:
        num_classes: Number of grades, from the lowest to the highest.
        hidden: Units of the layer before the score.
    """

    task: ClassVar[str] = "grading"
    num_classes: PositiveInt
    hidden: PositiveInt = 64
    loss: vg.losses.Loss = GradingLoss()
    decoding: vg.postprocess.Decoding = GradingDecoding()

    def wire(self, features: vg.FeatureMaps) -> vg.RawPredictions:
        """Return {level: {"above": (batch, num_classes - 1)}}."""
        level, x = list(features.items())[-1]
        x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
        x = keras.layers.Dense(self.hidden, activation="gelu", name="hidden")(x)
        x = keras.layers.Dense(1, use_bias=False, name="score")(x)
        return {level: {"above": Thresholds(self.num_classes - 1, name="thresholds")(x)}}


@vg.register
class QuadraticKappa:
    """Cohen's kappa with quadratic weights, and the mean absolute error in grades.

    Args:
        classes: Number of grades.
        name: Name of the metric.
    """

    def __init__(self, classes: int = 2, name: str = "kappa") -> None:
        self.classes, self.name = classes, name
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all images."""
        self.counts = np.zeros((self.classes, self.classes))

    def update_state(
        self, y_true: Sequence[Any], y_pred: Sequence[Any], sample_weight: None = None
    ) -> None:
        """Add images: samples with labels, and rankings."""
        for sample, found in zip(y_true, y_pred, strict=True):
            self.counts[int(np.argmax(sample.labels)), int(found.classes[0])] += 1

    def result(self) -> dict[str, float]:
        """Return "kappa", up to 1, and "MAE"; NaN without images."""
        count = self.counts.sum()
        if not count:
            return {"kappa": float("nan"), "MAE": float("nan")}
        distance = np.abs(np.subtract.outer(np.arange(self.classes), np.arange(self.classes)))
        expected = np.outer(self.counts.sum(axis=1), self.counts.sum(axis=0)) / count
        chance = float((distance**2 * expected).sum())
        kappa = 1 - float((distance**2 * self.counts).sum()) / chance if chance else 1.0
        return {"kappa": kappa, "MAE": float((distance * self.counts).sum() / count)}


@vg.register
class GradingTask(vg.tasks.ClassificationTask):
    """Classes with an order; data, results and files are those of a classification."""

    name = "grading"
    monitor = "kappa"
    shown = ("kappa", "MAE")
    title = "agreement of grades"
    row_name = "grade"

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Return 0: whether classes have an order, only the user knows."""
        return 0.0

    def defaults(self) -> vg.tasks.Defaults:
        """Return the defaults of a classification with another head."""
        found = super().defaults()
        return vg.tasks.Defaults(found.model | {"head": {"type": "Grading"}}, found.training)

    def metrics(self, class_map: Any) -> list[Any]:
        """Return the metric, which includes `monitor`."""
        return [QuadraticKappa(len(class_map))]
