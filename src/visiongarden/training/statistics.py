"""Bias correction of batch-normalization statistics.

Moving statistics start at mean 0 and variance 1. After n steps at momentum m they still contain
m ** n of that start, and a stem's variance is near 0.01 for images from 0 to 1: below some 250
steps at momentum 0.97 the start outweighs what was seen. Without the correction a model that has
learned is evaluated and saved as if it had not: a segmenter that had learned 13 images in 120 steps
was saved with a mean IoU of 0.15 on them, and 0.87 with it.
"""

from __future__ import annotations

from collections.abc import Collection

import keras
import numpy as np
from keras import ops

from visiongarden.backends.sublayers import with_sublayers


class UntrainedNorms:
    """Batch normalizations of a model that have seen no batch when training starts.

    Only these are corrected. Statistics that a model brings along, from pretraining or an earlier
    run, are kept as they are, and so are those of frozen layers. Kingma & Ba 2015 (Adam),
    section 3, correct the moving averages of gradients in the same way.

    Args:
        model: Model at the start of a run, before its first step.
        paths: Paths of the moving means that were untouched when a resumed run began.
    """

    def __init__(self, model: keras.Model, paths: Collection[str] | None = None) -> None:
        self._norms = [
            layer
            for layer in with_sublayers(model)
            if isinstance(layer, keras.layers.BatchNormalization)
            and (_is_untouched(layer) if paths is None else layer.moving_mean.path in paths)
        ]

    @property
    def paths(self) -> list[str]:
        """Paths of the moving means of these normalizations."""
        return [norm.moving_mean.path for norm in self._norms]

    def corrected(self, steps: int) -> dict[int, np.ndarray]:
        """Return the corrected moving statistics after a number of steps.

        A normalization whose variance would become negative ran more than once per step, so that
        `momentum ** steps` is not the share of its start; it is left out.

        Args:
            steps: Steps since the run began.

        Returns:
            Value of each moving mean and variance, by the `id` of its variable.
        """
        values = {}
        for norm in self._norms if steps else ():
            # The moving value is m^n * start + (1 - m^n) * v, where v is the weighted mean of the
            # batches: Adam's equation, solved for v with start 0 (mean) or 1 (variance).
            remainder = norm.momentum**steps
            variance = ops.convert_to_numpy(norm.moving_variance) - remainder
            # Rounding makes the variance of a constant channel slightly negative.
            if variance.min() >= -1e-5:
                values[id(norm.moving_variance)] = variance.clip(0) / (1 - remainder)
                mean = ops.convert_to_numpy(norm.moving_mean)
                values[id(norm.moving_mean)] = mean / (1 - remainder)
        return values


def _is_untouched(norm: keras.layers.BatchNormalization) -> bool:
    is_new = _is_constant(norm.moving_mean, 0) and _is_constant(norm.moving_variance, 1)
    return bool(norm.trainable and is_new)


def _is_constant(variable: keras.Variable, value: float) -> bool:
    return bool((ops.convert_to_numpy(variable) == value).all())
