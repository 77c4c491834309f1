"""`SqueezeExcite`: channel attention (Hu et al. 2018)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers.activations import activation as activation_layer
from visiongarden.layers.composite import Composite
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class SqueezeExcite(Composite):
    """Squeeze-and-excitation: weight each channel by a function of the means of all channels.

    The means over height and width pass two dense layers, here 1×1 convolutions with bias; the
    result is multiplied with the input (Hu et al. 2018, equations 2 to 4). Input and output:
    (batch, height, width, filters).

    Args:
        filters: channels of the input.
        hidden: channels between the two dense layers, `filters / r` in the paper.
        activation: activation of the first dense layer.
        gate: activation of the second one, "sigmoid" in the paper, or "hard_sigmoid".
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.layers.SqueezeExcite(16, hidden=4)(keras.Input((32, 32, 16))).shape
        (None, 32, 32, 16)
    """

    def __init__(
        self,
        filters: int,
        hidden: int,
        activation: str = "relu",
        gate: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.squeeze = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.reduce = keras.layers.Conv2D(hidden, 1)
        self.act = activation_layer(activation)
        self.expand = keras.layers.Conv2D(filters, 1)
        self.gate = activation_layer(gate)

    def call(self, x: Tensor) -> Tensor:
        """Multiply each channel with its weight."""
        return x * self.gate(self.expand(self.act(self.reduce(self.squeeze(x)))))
