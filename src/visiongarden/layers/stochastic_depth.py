"""`StochasticDepth`: skipping residual branches in training (Huang et al. 2016)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.backends.seeded import uniform
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class StochasticDepth(keras.layers.Dropout):
    """Skip a residual branch for a random part of the images in training.

    Applied to the output of the branch, before it is added to the shortcut. For each image, the
    branch is zero with the probability `rate`, else it is divided by `1 - rate`, so that its mean
    is that of the whole branch; in inference it is unchanged (Huang et al. 2016, section 3, with
    the factor of its equation 5 moved from inference to training). Input and output: (batch, ...).

    Args:
        rate: probability that the branch is skipped, from 0 to below 1.
        seed: seed of the random numbers; None takes one at random.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> skip = vg.layers.StochasticDepth(0.5, seed=0)
        >>> branch = skip(np.ones((64, 2, 2, 8), np.float32), training=True)
        >>> np.unique(keras.ops.convert_to_numpy(branch)).tolist()
        [0.0, 2.0]
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return the branch, without some of its images in training."""
        if not training or not self.rate:
            return inputs
        # One number for each image, which all of its elements share.
        shape = (ops.shape(inputs)[0], *(1,) * (len(inputs.shape) - 1))
        keeps = ops.cast(uniform(shape, self.seed_generator) >= self.rate, inputs.dtype)
        return inputs * (keeps / (1 - self.rate))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config: dict[str, Any] = super().get_config()
        del config["noise_shape"]
        return config
