"""`LossPredictor`: a predictor that also computes the loss of the images that it predicts on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.backends.forward import compiled_function
from visiongarden.evaluation.forward import RAW, forward_of
from visiongarden.evaluation.predictor import Predictor
from visiongarden.losses import Loss
from visiongarden.tasks import task_of

NAME = "val_loss"


class LossPredictor(Predictor):
    """Predictor that sums the terms of a loss over all images of an evaluation.

    The raw predictions of the one forward pass are decoded and compared with the targets. A term
    is the sum of its totals, divided by the sum of its counts, over all batches.

    Args:
        model: A model made of parts.
        loss: The loss.

    Attributes:
        parts: Total and count of each term, by its name, of each batch.
    """

    def __init__(self, model: Any, loss: Loss) -> None:
        super().__init__(model, postprocess=task_of(model).postprocess(model))
        size = tuple(self.image_size)
        self._run_with_raw = forward_of(model, size, with_raw=True)
        self._measure = compiled_function(
            lambda raw, targets: loss(raw, targets, model.context(size))
        )
        self._raw: Any = None
        self.parts: list[dict[str, np.ndarray]] = []

    def reset(self) -> None:
        """Begin another evaluation."""
        self.parts = []

    def run(self, images: np.ndarray) -> dict[str, Any]:
        """Return the decoded arrays by name, and keep the raw predictions for `add`."""
        outputs = dict(self._run_with_raw(images))
        self._raw = outputs.pop(RAW)
        return outputs

    def add(self, targets: Mapping[str, np.ndarray], count: int) -> None:
        """Add the loss of the images that were predicted on last.

        Args:
            targets: Targets of the images.
            count: Number of images; further ones are padding.
        """
        raw = keras.tree.map_structure(lambda each: each[:count], self._raw)
        # The loss divides nothing by the number of images, but padding would be background.
        found = self._measure(raw, dict(targets))
        self.parts.append(
            {
                name: np.array([float(ops.convert_to_numpy(each)) for each in term])
                for name, term in found.items()
            }
        )

    def result(self) -> dict[str, float]:
        """Return {"val_loss": loss}; an empty dict if no batch was added."""
        sums: dict[str, np.ndarray] = {}
        for part in self.parts:
            for name, values in part.items():
                sums[name] = sums.get(name, np.zeros(2)) + values
        if not sums:
            return {}
        return {NAME: float(sum(t / max(c, 1.0) for t, c in sums.values()))}
