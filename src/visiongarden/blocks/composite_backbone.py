"""Links between two backbones that run one after the other: Liang et al. 2021 (CBNetV2)."""

from __future__ import annotations

from typing import Any

from visiongarden.layers import Composite, Convolution, Sum, Upsampling
from visiongarden.registry import register


@register
class CBLinear(Composite):
    """One map of the first backbone, projected for several levels of the second.

    A 1×1 convolution with bias, of which the channels are split. Returns a list of maps (batch,
    height, width, filters[i]).

    Args:
        filters: channels of each map.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.conv = Convolution(sum(self.filters), 1)

    def call(self, x: Any) -> Any:
        """Projects and splits."""
        x, maps, first = self.conv(x), [], 0
        for count in self.filters:
            maps.append(x[..., first : first + count])
            first += count
        return maps


@register
class CBFuse(Composite):
    """Adds coarser maps, brought to one size by nearest upsampling, to a map of that size.

    Takes [map, coarser map, ...] of the same channels.

    Args:
        factors: how much coarser each map after the first is, 1 for equal size.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, factors: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ups = [Upsampling(factor) for factor in factors]
        self.sum = Sum()

    def call(self, maps: Any) -> Any:
        """Brings to size and adds."""
        first, *others = maps
        sized = [up(x) for up, x in zip(self.ups, others, strict=True)]
        return self.sum([first, *sized])
