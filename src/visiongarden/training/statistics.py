"""Moving statistics of batch normalisation, freed of what they started with."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Beginning:
    """The normalisations of a model that are to learn and have seen no batch yet.

    After n steps momentum ** n of a moving statistic is still the start's: mean 0 and variance 1. A
    stem's variance is near 0.01 for images from 0 to 1, so before some 250 steps at momentum 0.97
    the start outweighs what was seen, and a model that has learned is judged and saved as one that
    has not. Kingma & Ba 2015 (Adam), section 3, free their averages alike.

    Args:
        model: at the beginning of a run.
    """

    def __init__(self, model: keras.Model) -> None:
        self._norms = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
            and layer.trainable
            and _all(layer.moving_mean, 0)
            and _all(layer.moving_variance, 1)
        ]

    def forgotten(self, steps: int) -> dict[int, Any]:
        """id of a moving statistic -> its value after so many steps, as if the start never counted.

        A normalisation that this gives a variance below 0 ran more than once a step, and is left
        out.
        """
        values = {}
        for norm in self._norms if steps else ():
            left = norm.momentum**steps
            variance = ops.convert_to_numpy(norm.moving_variance) - left
            # Rounding takes a channel that is constant a little below 0.
            if variance.min() >= -1e-5:
                values[id(norm.moving_variance)] = variance.clip(0) / (1 - left)
                mean = ops.convert_to_numpy(norm.moving_mean)
                values[id(norm.moving_mean)] = mean / (1 - left)
        return values


def _all(variable: Any, value: float) -> bool:
    return bool((ops.convert_to_numpy(variable) == value).all())
