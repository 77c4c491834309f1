"""The decoder of YOLOv9: Wang et al. 2024 (arXiv 2402.13616), appendix, table 1."""

from __future__ import annotations

from typing import Self

import keras
from pydantic import model_validator

from visiongarden.blocks import CSPELAN
from visiongarden.blocks.downsample import Down, down_block
from visiongarden.decoders.paths import two_paths
from visiongarden.errors import ConfigError
from visiongarden.parts import Decoder
from visiongarden.parts.fields import HalvedChannels, Repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class GELANPathAggregation(Decoder):
    """YOLOv9's decoder: path aggregation, top-down, then bottom-up, with CSP-ELAN blocks.

    Sizes of the family (channels; shrunk; down; repeats): t 64-96-128; 48-64; AConv; 3. s
    128-192-256; 96-128; AConv; 3. m 240-360-480; 184-240; AConv; 1. c 256-512-512; 256-512; ADown;
    1. e as c with repeats 2 and hidden 256-512-1024.

    Attributes:
        channels: channels of each level that is returned, finest first.
        shrunk: channels of each downsampled map on the way to the coarser level, finest first.
        hidden: channels inside the bottom-up block of each level; None means `channels`. The finest
            level has no such block, so that its entry has no effect.
        repeats: number of units in each CSP block.
        down: downsampling block.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> decoder = vg.decoders.GELANPathAggregation(
        ...     channels=(16, 24, 32), shrunk=(16, 16), repeats=0
        ... )
        >>> decoder.spec(backbone.spec())
        FeatureSpec(p3: 16 ch /8, p4: 24 ch /16, p5: 32 ch /32)
    """

    channels: tuple[HalvedChannels, ...] = (64, 96, 128)
    shrunk: tuple[HalvedChannels, ...] = (48, 64)
    hidden: tuple[HalvedChannels, ...] | None = None
    repeats: Repeats = 3
    down: Down = "AConv"
    activation: str = "silu"

    @model_validator(mode="after")
    def _one_value_per_level(self) -> Self:
        count = len(self.levels)
        for name, given, wanted in (
            ("channels", self.channels, count),
            ("hidden", self.hidden, count),
            ("shrunk", self.shrunk, count - 1),
        ):
            if given is not None and len(given) != wanted:
                fixed = (*given, *(given[-1:] or (128,)) * wanted)[:wanted]
                raise ConfigError(
                    f"{name} does not match the levels {' '.join(self.levels)}",
                    rule=f"one value for each level{' except the last' * (name == 'shrunk')}",
                    received=f"{name}={given}",
                    fix=f"{name}={fixed}",
                )
        return self

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
        widths = dict(zip(self.levels, self.channels, strict=True))
        hidden = dict(zip(self.levels, self.hidden or self.channels, strict=True))
        shrunk = dict(zip(self.levels, self.shrunk, strict=False))

        def block(filters: int, inside: int, name: str) -> keras.Layer:
            return CSPELAN(filters, inside, inside // 2, self.repeats, self.activation, name=name)

        def down(x: Tensor, level: str) -> Tensor:
            return block(widths[level], widths[level], f"down_{level}")(x)

        def shrink(x: Tensor, level: str) -> Tensor:
            return down_block(self.down, shrunk[level], self.activation, f"shrink_{level}")(x)

        def up(x: Tensor, level: str) -> Tensor:
            return block(widths[level], hidden[level], f"up_{level}")(x)

        return two_paths(features, self.levels, down, shrink, up)
