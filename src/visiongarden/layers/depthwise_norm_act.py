"""`DepthwiseNormAct`: depthwise convolution, batch normalization and activation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.layers.activations import activation as activation_layer
from visiongarden.layers.batch_norm import BatchNorm, normed
from visiongarden.layers.composite import Composite
from visiongarden.layers.fold import is_folding, with_norm
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class DepthwiseNormAct(Composite):
    """Depthwise convolution without bias, followed by batch normalization and an activation.

    Each channel has its own kernel (Howard et al. 2017, MobileNets, section 3.1). The padding is
    symmetric, as in `ConvNormAct`. Input: (batch, height, width, channels). Output: (batch,
    ceil(height / strides), ceil(width / strides), channels).

    Args:
        kernel_size: height and width of the kernel.
        strides: 1 keeps height and width, 2 halves them.
        activation: activation name, see `visiongarden.layers.activation`; None means no activation.
        momentum: momentum of the moving averages in batch normalization.
        epsilon: value that batch normalization adds to the variance.
        asymmetric: whether a stride of 2 pads one row and column more at the bottom and right than
            at the top and left, as TensorFlow's "SAME" does for even sides.
        folded: whether to use the folded form, as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.layers.DepthwiseNormAct(3, strides=2)(keras.Input((32, 32, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        kernel_size: int = 3,
        strides: int = 1,
        activation: str | None = "silu",
        momentum: float = 0.97,
        epsilon: float = 1e-3,
        asymmetric: bool = False,
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pad = None
        # With a stride, "same" would pad on the right and at the bottom only, see `Convolution`.
        if strides > 1 and kernel_size > 1:
            after = kernel_size // 2
            before = after - 1 if asymmetric and strides == 2 else after
            self.pad = keras.layers.ZeroPadding2D(((before, after), (before, after)))
        folded = self.record_argument("folded", folded or is_folding())
        self.conv = keras.layers.DepthwiseConv2D(
            kernel_size, strides=strides, padding="valid" if self.pad else "same", use_bias=folded
        )
        self.norm = None if folded else BatchNorm(momentum=momentum, epsilon=epsilon)
        self.act = activation_layer(activation)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Apply padding, convolution, batch normalization and activation."""
        if self.pad is not None:
            x = self.pad(x)
        return normed(self.conv(x), self.norm, self.act, training)

    def fold(self) -> dict[str, np.ndarray]:
        """Return the weights of the folded form: "conv/kernel" and "conv/bias"."""
        return with_norm(self.conv, self.norm)
