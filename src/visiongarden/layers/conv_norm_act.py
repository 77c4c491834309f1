"""`ConvNormAct`: the building stone of nearly every convolutional network."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers.activation import activation as activation_layer
from visiongarden.layers.composite import Composite
from visiongarden.registry import register


@register
class ConvNormAct(Composite):
    """Convolution without bias, batch normalisation, activation.

    Padding is `kernel_size // 2` on every side, as in Darknet and PyTorch; Keras's "same" would pad
    a stride-2 convolution on the right and bottom only, which shifts imported weights by a pixel.

    Input (batch, height, width, channels); output (batch, ceil(height / strides),
    ceil(width / strides), filters).

    Args:
        filters: channels of the output.
        kernel_size: side of the kernel, in cells.
        strides: 1 keeps height and width, 2 halves them.
        activation: name for `visiongarden.layers.activation`; None for none.
        momentum: share of the old moving mean that is kept at each step.
        epsilon: what batch normalisation adds to the variance.
        groups: sets of channels that are convolved apart; both channel counts are its multiples.
        padding: cells added on every side; None is `kernel_size // 2`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        activation: str | None = "silu",
        momentum: float = 0.97,
        epsilon: float = 1e-3,
        groups: int = 1,
        padding: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pad = None
        if padding is not None or (strides > 1 and kernel_size > 1):
            self.pad = keras.layers.ZeroPadding2D(kernel_size // 2 if padding is None else padding)
        self.conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if self.pad else "same",
            groups=groups,
            use_bias=False,
        )
        self.norm = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs pad, convolution, normalisation and activation."""
        if self.pad is not None:
            x = self.pad(x)
        return self.act(self.norm(self.conv(x)))
