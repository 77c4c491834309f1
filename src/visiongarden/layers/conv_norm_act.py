"""`ConvNormAct`: convolution, batch normalization and activation."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.layers.activations import activation as activation_layer
from visiongarden.layers.batch_norm import BatchNorm, normed
from visiongarden.layers.composite import Composite
from visiongarden.layers.convolution import Convolution
from visiongarden.layers.fold import is_folding, with_norm
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class ConvNormAct(Composite):
    """Convolution without bias, followed by batch normalization and an activation.

    Input: (batch, height, width, channels). Output: (batch, ceil(height / strides), ceil(width /
    strides), filters) with the default padding.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel.
        strides: 1 keeps height and width, 2 halves them.
        activation: activation name, see `visiongarden.layers.activation`; None means no activation.
        momentum: momentum of the moving averages in batch normalization.
        epsilon: value that batch normalization adds to the variance.
        groups: number of groups of the convolution; divides the input and output channels.
        pad: zero padding on each side; None means `dilation * (kernel_size // 2)`.
        dilation: dilation rate; with a rate above 1 (atrous convolution), `strides` must be 1.
        folded: if True, the batch normalization is folded into the convolution, which then has a
            bias; for inference only (`Detector.fused`).
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.layers.ConvNormAct(8, 3, strides=2)(keras.Input((32, 32, 3))).shape
        (None, 16, 16, 8)
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
        pad: int | None = None,
        dilation: int = 1,
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        folded = self.record_argument("folded", folded or is_folding())
        self.conv = Convolution(filters, kernel_size, strides, pad, groups, folded, dilation)
        self.norm = None if folded else BatchNorm(momentum=momentum, epsilon=epsilon)
        self.act = activation_layer(activation)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Apply convolution, batch normalization and activation."""
        return normed(self.conv(x), self.norm, self.act, training)

    def fold(self) -> dict[str, np.ndarray]:
        """Return the weights of the folded form: "conv/kernel" and "conv/bias"."""
        return with_norm(self.conv, self.norm)
