"""Backbones of YOLOv9: Wang et al. 2024 (arXiv 2402.13616), appendix, table 1."""

from __future__ import annotations

from visiongarden.blocks import CSPELAN, SPPF, CBFuse, CBLinear
from visiongarden.blocks.downsample import Down, down_block
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import HalvedChannels, Repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor

FourChannels = tuple[HalvedChannels, HalvedChannels, HalvedChannels, HalvedChannels]


@register
class GELAN(Backbone):
    """YOLOv9's backbone: two stride-2 convolutions, four CSP-ELAN stages, SPP-ELAN at the end.

    Sizes of the family (stem; channels; hidden; down; repeats): t 16-32; 32-64-96-128; as channels;
    AConv; 0-3-3-3. s as t with twice the channels. m 32-64; 128-240-360-480; as channels; AConv;
    1-1-1-1. c 64-128; 256-512-512-512; 128-256-512-512; ADown; 1-1-1-1.

    Attributes:
        stem: channels of the first two convolutions.
        channels: channels of each stage's output.
        hidden: channels inside each stage; None means `channels`.
        repeats: number of units in each stage's CSP blocks; 0 is a plain ELAN.
        down: downsampling block before the second, third and fourth stage; ADown keeps the
            channels.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.GELAN(repeats=(0, 0, 0, 0)).spec()
        FeatureSpec(p3: 64 ch /8, p4: 96 ch /16, p5: 128 ch /32)
    """

    stem: tuple[HalvedChannels, HalvedChannels] = (16, 32)
    channels: FourChannels = (32, 64, 96, 128)
    hidden: FourChannels | None = None
    repeats: tuple[Repeats, Repeats, Repeats, Repeats] = (0, 3, 3, 3)
    down: Down = "AConv"
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of the table."""
        act = self.activation
        x = ConvNormAct(self.stem[0], 3, 2, activation=act, name="stem1")(images)
        maps = {"p1": x}
        x = ConvNormAct(self.stem[1], 3, 2, activation=act, name="stem2")(x)
        rows = zip(self.channels, self.hidden or self.channels, self.repeats, strict=True)
        for number, (filters, hidden, repeats) in enumerate(rows, start=2):
            if number > 2:
                narrow = x.shape[-1] if self.down == "ADown" else filters
                x = down_block(self.down, narrow, act, f"down{number}")(x)
            x = CSPELAN(filters, hidden, hidden // 2, repeats, act, name=f"stage{number}")(x)
            if number == 5:
                x = SPPF(filters, activation=act, name="pool")(x)
            maps[f"p{number}"] = x
        return maps


@register
class CompositeGELAN(Backbone):
    """YOLOv9-e's backbone: two GELANs in a row, where the first one feeds all levels of the second.

    The connections are those of CBNetV2's dense composition (Liang et al. 2021): each map of the
    first network is projected (`CBLinear`) and added (`CBFuse`) at the start of each level of the
    second network that is as fine or finer. The first network is complete even if the coarsest
    requested level is finer than p5.

    Attributes:
        stem: channels of the first two convolutions of each network.
        channels: channels of each stage's output.
        hidden: channels inside each stage.
        repeats: number of units in each stage's CSP blocks.
        pooled: channels after the SPP-ELAN.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> backbone = vg.backbones.CompositeGELAN(
        ...     channels=(32, 32, 64, 64), hidden=(16, 16, 32, 32), repeats=0, pooled=64
        ... )
        >>> backbone.spec()
        FeatureSpec(p3: 32 ch /8, p4: 64 ch /16, p5: 64 ch /32)
    """

    stem: tuple[HalvedChannels, HalvedChannels] = (64, 128)
    channels: FourChannels = (256, 512, 1024, 1024)
    hidden: FourChannels = (128, 256, 512, 512)
    repeats: Repeats = 2
    pooled: HalvedChannels = 512
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the first network, its projections, and the second network."""
        # Channels at the start of levels p1 to p5, where ADown keeps those of the level before.
        widths = (*self.stem, *self.channels[:3])
        links: list[list[Tensor]] = [[] for _ in widths]
        for number, x in enumerate(self._network(images, "first"), start=1):
            maps = CBLinear(widths[:number], name=f"link{number}")(x)
            # The map of level n has n projections, for the levels p1 to pn.
            for target, projected in zip(links, maps, strict=False):
                target.append(projected)
        *finer, last = self._network(images, "second", links)
        last = SPPF(self.pooled, activation=self.activation, name="pool")(last)
        return {f"p{number}": x for number, x in enumerate((*finer, last), start=1)}

    def _network(
        self, x: Tensor, name: str, links: list[list[Tensor]] | None = None
    ) -> list[Tensor]:
        """Return the maps p1 to p5 of one network; `links` are added at the start of each level."""
        act, maps = self.activation, []
        for number in range(1, 6):
            if number <= 2:
                down = ConvNormAct(
                    self.stem[number - 1], 3, 2, activation=act, name=f"{name}_stem{number}"
                )
            else:
                down = down_block("ADown", x.shape[-1], act, f"{name}_down{number}")
            x = down(x)
            if links:
                more = links[number - 1]
                factors = tuple(2**i for i in range(len(more)))
                x = CBFuse(factors, name=f"fuse{number}")([x, *more])
            if number >= 2:
                filters, hidden = self.channels[number - 2], self.hidden[number - 2]
                stage = CSPELAN(
                    filters, hidden, hidden // 2, self.repeats, act, name=f"{name}_stage{number}"
                )
                x = stage(x)
            maps.append(x)
        return maps
