"""Spatial pyramid pooling: one feature map seen through windows of several sizes."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register


def _pool(size: int) -> keras.Layer:
    return keras.layers.MaxPooling2D(size, strides=1, padding="same")


@register
class SPP(Composite):
    """Max pooling with several windows side by side, concatenated (YOLOv3-SPP, YOLOv4).

    After He et al. 2014, without the flattening. Height and width stay.

    Args:
        filters: channels of the output.
        pool_sizes: sides of the windows, odd numbers of cells.
        expansion: channels before pooling, as a share of `filters`.
        activation: of both 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        pool_sizes: tuple[int, ...] = (5, 9, 13),
        expansion: float = 0.5,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.into = ConvNormAct(int(filters * expansion), activation=activation)
        self.pools = [_pool(size) for size in pool_sizes]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Pools the narrowed input through each window and joins."""
        x = self.into(x)
        return self.out(self.concat([x, *(pool(x) for pool in self.pools)]))


@register
class SPPF(Composite):
    """SPP by one small window applied three times, which costs less.

    Pooling twice with 5 equals pooling with 9, three times with 13: maxima compose.

    Args:
        filters: channels of the output.
        pool_size: side of the window, an odd number of cells.
        expansion: channels before pooling, as a share of `filters`.
        activation: of both 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        pool_size: int = 5,
        expansion: float = 0.5,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.into = ConvNormAct(int(filters * expansion), activation=activation)
        self.pool = _pool(pool_size)
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Pools one, two and three times and joins."""
        views = [self.into(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        return self.out(self.concat(views))
