"""Connections between two consecutive backbones: Liang et al. 2021 (CBNetV2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visiongarden.layers import Composite, Convolution, Sum, Upsampling
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class CBLinear(Composite):
    """Project one feature map of the first backbone for several levels of the second.

    A 1×1 convolution with bias, whose output channels are split. Input: (batch, height, width,
    channels). Output: a list of maps (batch, height, width, filters[i]).

    Args:
        filters: channels of each output map.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> maps = vg.blocks.CBLinear((4, 8))(keras.Input((16, 16, 3)))
        >>> [x.shape for x in maps]
        [(None, 16, 16, 4), (None, 16, 16, 8)]
    """

    def __init__(self, filters: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.conv = Convolution(sum(self.filters), 1)

    def call(self, x: Tensor) -> list[Tensor]:
        """Project the input and split the channels."""
        x, maps, first = self.conv(x), [], 0
        for count in self.filters:
            maps.append(x[..., first : first + count])
            first += count
        return maps


@register
class CBFuse(Composite):
    """Add coarser feature maps to a map, after nearest-neighbor upsampling to its size.

    Input: a list of the map and the coarser maps, all with the same channels. Output: the shape of
    the first map.

    Args:
        factors: upsampling factor of each map after the first; 1 for equal size.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> fine, coarse = keras.Input((16, 16, 4)), keras.Input((8, 8, 4))
        >>> vg.blocks.CBFuse(factors=(2,))([fine, coarse]).shape
        (None, 16, 16, 4)
    """

    def __init__(self, factors: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ups = [Upsampling(factor) for factor in factors]
        self.sum = Sum()

    def call(self, maps: Sequence[Tensor]) -> Tensor:
        """Upsample the coarser maps and add all maps."""
        first, *others = maps
        sized = [up(x) for up, x in zip(self.ups, others, strict=True)]
        return self.sum([first, *sized])
