"""The decoder of YOLOv10: Wang et al. 2024 (arXiv 2405.14458), section 3.2."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from visiongarden.blocks import C2f, C2fCIB, SCDown
from visiongarden.decoders.paths import two_paths
from visiongarden.errors import ConfigError
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor

Place = Annotated[str, Field(pattern=r"^(down|up)_p[0-9]$")]
"""Name of a block: its path, "down" or "up", and its level."""


@register
class YOLOv10Decoder(Decoder):
    """YOLOv10's decoder: path aggregation with decoupled downsampling and compact blocks.

    Downsampling is decoupled (`SCDown`) from the second finest level on. Each level keeps its input
    channels. Sizes of the family (depth, compact): n 0.33, up_p5 with large kernels; s as n; m
    0.67, up_p4 and up_p5; b 0.67, down_p4, up_p4 and up_p5; l and x 1, as b.

    Attributes:
        depth: factor on the number of units in each block, which is 3.
        compact: blocks whose units are compact inverted blocks: "down_" or "up_" and the level.
        large_kernel: whether the compact inverted blocks have a 7×7 depthwise convolution.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.YOLOv10Decoder().spec(backbone.spec())
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    compact: tuple[Place, ...] = ("up_p5",)
    large_kernel: bool = False
    activation: str = "silu"

    @model_validator(mode="after")
    def _compact_blocks_exist(self) -> Self:
        places = [f"down_{level}" for level in self.levels[:-1]]
        places += [f"up_{level}" for level in self.levels[1:]] or [f"down_{self.levels[0]}"]
        unknown = [place for place in self.compact if place not in places]
        if unknown:
            raise ConfigError(
                f"compact has unknown blocks: {' '.join(unknown)}",
                rule=f"any of {', '.join(places)}",
                received=f"compact={self.compact}",
                fix=f"compact={tuple(p for p in self.compact if p in places)}",
            )
        return self

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
        act, finest = self.activation, self.levels[0]
        widths = {level: features[level].shape[-1] for level in self.levels}

        def block(x: Tensor, place: str) -> Tensor:
            units, filters = max(round(3 * self.depth), 1), widths[place.split("_")[1]]
            if place in self.compact:
                return C2fCIB(filters, units, self.large_kernel, True, act, name=place)(x)
            return C2f(filters, units, shortcut=False, activation=act, name=place)(x)

        def shrink(x: Tensor, level: str) -> Tensor:
            name = f"shrink_{level}"
            if level == finest:
                return ConvNormAct(widths[level], 3, 2, activation=act, name=name)(x)
            return SCDown(widths[level], act, name=name)(x)

        return two_paths(
            features,
            self.levels,
            down=lambda x, level: block(x, f"down_{level}"),
            shrink=shrink,
            up=lambda x, level: block(x, f"up_{level}"),
        )
