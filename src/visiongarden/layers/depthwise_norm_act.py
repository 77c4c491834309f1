"""`DepthwiseNormAct`: `ConvNormAct` for a convolution that mixes no channels."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers.activation import activation as activation_layer
from visiongarden.layers.batch_norm import BatchNorm
from visiongarden.layers.composite import Composite
from visiongarden.layers.folding import is_folding, with_norm
from visiongarden.registry import register


@register
class DepthwiseNormAct(Composite):
    """Depthwise convolution without bias, batch normalisation, activation.

    One kernel a channel (Howard et al. 2017, MobileNets, section 3.1). Padded as `ConvNormAct`.
    Input (batch, height, width, channels); output (batch, ceil(height / strides),
    ceil(width / strides), channels).

    Args:
        kernel_size: side of the kernel, in cells.
        strides: 1 keeps height and width, 2 halves them.
        activation: name for `visiongarden.layers.activation`; None for none.
        momentum: share of the old moving mean that is kept at each step.
        epsilon: what batch normalisation adds to the variance.
        folded: as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        strides: int = 1,
        activation: str | None = "silu",
        momentum: float = 0.97,
        epsilon: float = 1e-3,
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pad = None
        if strides > 1 and kernel_size > 1:
            self.pad = keras.layers.ZeroPadding2D(kernel_size // 2)
        folded = self.says("folded", folded or is_folding())
        self.conv = keras.layers.DepthwiseConv2D(
            kernel_size, strides=strides, padding="valid" if self.pad else "same", use_bias=folded
        )
        self.norm = None if folded else BatchNorm(momentum=momentum, epsilon=epsilon)
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs pad, convolution, normalisation and activation."""
        if self.pad is not None:
            x = self.pad(x)
        x = self.conv(x)
        return self.act(x if self.norm is None else self.norm(x))

    def fold(self) -> dict[str, Any]:
        """Weights of the folded form: "conv/kernel" and "conv/bias"."""
        return with_norm(self.conv, self.norm)
