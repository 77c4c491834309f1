"""1×1 and 3×3 convolutions in turn, which YOLOv3 and YOLOv4 put between their levels."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct, MaxPooling
from visiongarden.registry import register


@register
class Alternating(Composite):
    """1×1 and 3×3 convolutions in turn; the 3×3 have twice the channels (YOLOv3, section 2.3).

    Input (batch, height, width, any); output (batch, height, width, filters) where `repeats` is
    odd, twice the filters where it is even.

    Args:
        filters: channels of the 1×1 convolutions.
        repeats: number of convolutions.
        activation: of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, repeats: int = 5, activation: str = "leaky_relu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [
            ConvNormAct(filters * (1 + i % 2), 1 + 2 * (i % 2), activation=activation)
            for i in range(repeats)
        ]

    def call(self, x: Any) -> Any:
        """Runs them."""
        for conv in self.convs:
            x = conv(x)
        return x


@register
class AlternatingSPP(Composite):
    """Three convolutions in turn, spatial pyramid pooling, three more (YOLOv3-SPP, YOLOv4).

    Args:
        filters: channels of the output.
        pool_sizes: sides of the windows, odd numbers of cells; the map itself comes last.
        activation: of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
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

    def call(self, x: Any) -> Any:
        """Runs three convolutions, sees the result through all windows, runs three more."""
        x = self.before(x)
        return self.after(self.concat([*(pool(x) for pool in self.pools), x]))
