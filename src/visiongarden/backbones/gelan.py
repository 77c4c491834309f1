"""The backbones of YOLOv9: Wang et al. 2024 (arXiv 2402.13616), appendix, table 1."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks import CSPELAN, SPPF, CBFuse, CBLinear
from visiongarden.blocks.downsample import Down, down_block
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import HalvedChannels, Repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps

FourChannels = tuple[HalvedChannels, HalvedChannels, HalvedChannels, HalvedChannels]


@register
class GELAN(Backbone):
    """Two stride-2 convolutions, four CSP-ELAN stages, SPP-ELAN at the end.

    Sizes of the family (stem; channels; hidden; down; repeats): t 16-32; 32-64-96-128; as channels;
    AConv; 0-3-3-3. s as t with twice the channels. m 32-64; 128-240-360-480; as channels; AConv;
    1-1-1-1. c 64-128; 256-512-512-512; 128-256-512-512; ADown; 1-1-1-1.

    Attributes:
        stem: channels of the first two convolutions.
        channels: of each stage's output.
        hidden: channels inside each stage; None is `channels`.
        repeats: units in each stage's CSP blocks; 0 is a plain ELAN.
        down: what stands before the second, third and fourth stage. ADown keeps channels.
        activation: of all convolutions.
        levels: any of p1 to p5.
    """

    stem: tuple[HalvedChannels, HalvedChannels] = (16, 32)
    channels: FourChannels = (32, 64, 96, 128)
    hidden: FourChannels | None = None
    repeats: tuple[Repeats, Repeats, Repeats, Repeats] = (0, 3, 3, 3)
    down: Down = "AConv"
    activation: str = "silu"

    def wire(self, images: Any) -> FeatureMaps:
        """One row of the table a stage."""
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
    """The backbone of YOLOv9-e: two GELANs one after the other, the first feeds all of the second.

    The links are those of CBNetV2's dense composition (Liang et al. 2021): each map of the first is
    projected (`CBLinear`) and added (`CBFuse`) where each level of the second begins that is as
    fine or finer. The
    first network is made in full even where the last level asked for is finer than p5.

    Attributes:
        stem: channels of the first two convolutions of each.
        channels: of each stage's output.
        hidden: channels inside each stage.
        repeats: units in each stage's CSP blocks.
        pooled: channels after the SPP-ELAN.
        activation: of all convolutions.
        levels: any of p1 to p5.
    """

    stem: tuple[HalvedChannels, HalvedChannels] = (64, 128)
    channels: FourChannels = (256, 512, 1024, 1024)
    hidden: FourChannels = (128, 256, 512, 512)
    repeats: Repeats = 2
    pooled: HalvedChannels = 512
    activation: str = "silu"

    def wire(self, images: Any) -> FeatureMaps:
        """The first network, its links, then the second network."""
        widths = (*self.stem, *self.channels[:3])  # of what enters p1 to p5
        links: list[list[Any]] = [[] for _ in widths]
        for number, x in enumerate(self._network(images, "first"), start=1):
            maps = CBLinear(widths[:number], name=f"link{number}")(x)
            for target, projected in zip(links, maps, strict=False):
                target.append(projected)
        *finer, last = self._network(images, "second", links)
        last = SPPF(self.pooled, activation=self.activation, name="pool")(last)
        return {f"p{number}": x for number, x in enumerate((*finer, last), start=1)}

    def _network(self, x: Any, name: str, links: list[list[Any]] | None = None) -> list[Any]:
        """Maps p1 to p5 of one network; `links` are added where each level begins."""
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
