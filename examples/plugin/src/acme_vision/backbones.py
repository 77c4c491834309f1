"""PoolFormer: Yu et al. 2022, MetaFormer is actually what you need (arXiv 2111.11418)."""

from __future__ import annotations

from typing import Any

import keras
from pydantic import PositiveInt

import visiongarden as vg


@vg.register
class PoolMixer(vg.layers.Composite):
    """MetaFormer block with pooling as token mixer (section 3.2, equations 1, 2 and 4).

    Input and output shape: (batch, height, width, channels).

    Args:
        channels: Number of channels.
        expansion: Hidden channels of the MLP, as a multiple of `channels`.
        pool_size: Side of the pooling window.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, channels: int, expansion: int = 4, pool_size: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # The paper's Modified Layer Normalization is a group normalization with one group.
        self.norm1 = keras.layers.GroupNormalization(groups=1)
        self.pool = keras.layers.AveragePooling2D(pool_size, strides=1, padding="same")
        self.mixed = keras.layers.Subtract()
        self.sum1 = vg.layers.Sum()
        self.norm2 = keras.layers.GroupNormalization(groups=1)
        self.expand = keras.layers.Conv2D(expansion * channels, 1, activation="gelu")
        self.reduce = keras.layers.Conv2D(channels, 1)
        self.sum2 = vg.layers.Sum()

    def call(self, x: vg.Tensor) -> vg.Tensor:
        """Mix neighboring cells, then the channels of each cell."""
        normalized = self.norm1(x)
        # The block adds its input, which the pooling therefore subtracts.
        x = self.sum1([x, self.mixed([self.pool(normalized), normalized])])
        return self.sum2([x, self.reduce(self.expand(self.norm2(x)))])


@vg.register
class PoolFormer(vg.Backbone):
    """PoolFormer without its classifier; the defaults are those of S12 (table 1).

    Attributes:
        channels: Channels of the stages of stride 4, 8, 16 and 32.
        depths: Blocks of each stage.
        levels: Any of p2 to p5.
    """

    channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (64, 128, 320, 512)
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 6, 2)
    levels: tuple[str, ...] = ("p3", "p4", "p5")

    def wire(self, images: vg.Tensor) -> vg.FeatureMaps:
        """Build the stages up to the last of `levels`."""
        x, maps = images, {}
        for stage in range(int(self.levels[-1][1:]) - 1):
            size, strides = (7, 4) if stage == 0 else (3, 2)
            x = keras.layers.Conv2D(
                self.channels[stage], size, strides, padding="same", name=f"embed{stage + 1}"
            )(x)
            for unit in range(self.depths[stage]):
                name = f"stage{stage + 1}_unit{unit + 1}"
                x = PoolMixer(self.channels[stage], name=name)(x)
            maps[f"p{stage + 2}"] = x
        return maps
