"""Spatial pyramid pooling: one feature map seen through windows of several sizes."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct, MaxPooling
from visiongarden.registry import register


def _pool(size: int) -> keras.Layer:
    return MaxPooling(size, strides=1, padding="same")


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

    Pooling twice with 5 equals pooling with 9, three times with 13: maxima compose. YOLOv9's
    "SPP-ELAN" (Wang et al. 2024, appendix, table 1) is the same graph.

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


@register
class SPPCSPC(Composite):
    """SPP inside a CSP block: YOLOv7's official Darknet files.

    One 1×1 goes around; the other way is 1×1, 3×3, 1×1, pooling, 1×1, 3×3. YOLOv7-tiny keeps of it
    the pooling and the 1×1 on either side. Height and width stay.

    Args:
        filters: channels of every convolution.
        pool_sizes: sides of the windows, odd numbers of cells.
        plain: without the 3×3 convolutions, as in YOLOv7-tiny.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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

    def call(self, x: Any) -> Any:
        """Pools on one way, goes around on the other, joins."""
        y = x
        for conv in self.befores:
            y = conv(y)
        y = self.views([y, *(pool(y) for pool in self.pools)])
        for conv in self.afters:
            y = conv(y)
        return self.out(self.concat([y, self.around(x)]))
