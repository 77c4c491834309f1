"""Alternating 1×1 and 3×3 convolutions, as in the decoders of YOLOv3 and YOLOv4."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct, MaxPooling
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Alternating(Composite):
    """Alternating 1×1 and 3×3 convolutions; the 3×3 have twice the channels (YOLOv3, section 2.3).

    Input: (batch, height, width, channels). Output: (batch, height, width, filters) if `repeats` is
    odd, (batch, height, width, 2 * filters) if it is even.

    Args:
        filters: channels of the 1×1 convolutions.
        repeats: number of convolutions.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.Alternating(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self, filters: int, repeats: int = 5, activation: str = "leaky_relu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [
            ConvNormAct(filters * (1 + i % 2), 1 + 2 * (i % 2), activation=activation)
            for i in range(repeats)
        ]

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions."""
        for conv in self.convs:
            x = conv(x)
        return x


@register
class AlternatingSPP(Composite):
    """Three alternating convolutions, spatial pyramid pooling, three more (YOLOv3-SPP, YOLOv4).

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        pool_sizes: sizes of the pooling windows, odd; the unpooled map is concatenated last.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.AlternatingSPP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        pool_sizes: tuple[int, ...] = (13, 9, 5),
        activation: str = "leaky_relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.before = Alternating(filters, 3, activation)
        self.pools = [MaxPooling(size, strides=1, padding="same") for size in pool_sizes]
        self.concat = keras.layers.Concatenate()
        self.after = Alternating(filters, 3, activation)

    def call(self, x: Tensor) -> Tensor:
        """Run three convolutions, pool their output with all windows, and run three more."""
        x = self.before(x)
        return self.after(self.concat([*(pool(x) for pool in self.pools), x]))
