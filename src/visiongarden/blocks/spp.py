"""Spatial pyramid pooling: a feature map pooled with windows of several sizes."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct, MaxPooling
from visiongarden.registry import register
from visiongarden.types import Tensor


def _pool(size: int) -> keras.Layer:
    return MaxPooling(size, strides=1, padding="same")


@register
class SPP(Composite):
    """Spatial pyramid pooling: parallel max pooling with several windows (YOLOv3-SPP, YOLOv4).

    After He et al. 2014, without the flattening. Input: (batch, height, width, channels). Output:
    (batch, height, width, filters).

    Args:
        filters: number of output channels.
        pool_sizes: sizes of the pooling windows, odd.
        expansion: channels before pooling as a fraction of `filters`.
        activation: activation of both 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SPP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Reduce the channels, pool with each window, and merge the results."""
        x = self.into(x)
        return self.out(self.concat([x, *(pool(x) for pool in self.pools)]))


@register
class SPPF(Composite):
    """Faster spatial pyramid pooling: one small window applied three times in a row.

    Since maxima compose, pooling twice with 5 equals pooling with 9, and three times equals 13.
    YOLOv9's "SPP-ELAN" (Wang et al. 2024, appendix, table 1) is the same graph. Input: (batch,
    height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        pool_size: size of the pooling window, odd.
        expansion: channels before pooling as a fraction of `filters`.
        activation: activation of both 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SPPF(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Pool one, two and three times, and merge the results."""
        views = [self.into(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        return self.out(self.concat(views))


@register
class SPPCSPC(Composite):
    """Spatial pyramid pooling inside a CSP block, as in YOLOv7's official Darknet files.

    A 1×1 convolution bypasses the main path of 1×1, 3×3 and 1×1 convolutions, pooling, and 1×1 and
    3×3 convolutions. YOLOv7-tiny keeps only one 1×1 convolution before and after the pooling.
    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: channels of all convolutions.
        pool_sizes: sizes of the pooling windows, odd.
        plain: if True, only one 1×1 convolution before and after the pooling, as in YOLOv7-tiny.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SPPCSPC(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        pool_sizes: tuple[int, ...] = (5, 9, 13),
        plain: bool = False,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        before, after = ((1,), (1,)) if plain else ((1, 3, 1), (1, 3))
        self.around = ConvNormAct(filters, activation=activation)
        self.befores = [ConvNormAct(filters, size, activation=activation) for size in before]
        self.pools = [_pool(size) for size in pool_sizes]
        self.views = keras.layers.Concatenate()
        self.afters = [ConvNormAct(filters, size, activation=activation) for size in after]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Tensor) -> Tensor:
        """Pool on the main path, and merge it with the bypass."""
        y = x
        for conv in self.befores:
            y = conv(y)
        y = self.views([y, *(pool(y) for pool in self.pools)])
        for conv in self.afters:
            y = conv(y)
        return self.out(self.concat([y, self.around(x)]))
