"""Backbones of YOLOv3-tiny and YOLOv4-tiny, after their Darknet files."""

from __future__ import annotations

from visiongarden.blocks import PartialDense
from visiongarden.layers import ConvNormAct, MaxPooling
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class DarknetTiny(Backbone):
    """YOLOv3-tiny's backbone: seven 3×3 convolutions with max pooling in between.

    The last pooling has a stride of 1 and keeps height and width.

    Attributes:
        width: factor on all channels; 1.0 is Darknet's network, with 16 to 1024 channels.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in Darknet.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.DarknetTiny(width=0.25).spec()
        FeatureSpec(p4: 64 ch /16, p5: 256 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"
    levels: tuple[str, ...] = ("p4", "p5")

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the convolutions and the poolings between them."""
        x, maps = images, {}
        for number, channels in enumerate((16, 32, 64, 128, 256, 512, 1024)):
            if number:
                strides = 2 if number < 6 else 1
                pool = MaxPooling(2, strides, padding="same", name=f"pool{number}")
                x = pool(x)
            filters = int(channels * self.width)
            x = ConvNormAct(filters, 3, activation=self.activation, name=f"conv{number + 1}")(x)
            if number:
                # The sixth and the seventh convolution have the stride of p5; the last one counts.
                maps[f"p{min(number, 5)}"] = x
        return maps


@register
class CSPDarknetTiny(Backbone):
    """YOLOv4-tiny's backbone: two strided convolutions, three partial dense blocks, a convolution.

    A level is the output of a block's 1×1 convolution, without the bypass.

    Attributes:
        width: factor on all channels; 1.0 is Darknet's network, with 32 to 512 channels.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in Darknet.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.CSPDarknetTiny(width=0.25).spec()
        FeatureSpec(p4: 64 ch /16, p5: 128 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"
    levels: tuple[str, ...] = ("p4", "p5")

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stem, the blocks and the poolings between them."""
        act = self.activation
        stem = ConvNormAct(int(32 * self.width), 3, strides=2, activation=act, name="stem")
        x = stem(images)
        maps = {"p1": x}
        down = ConvNormAct(int(64 * self.width), 3, strides=2, activation=act, name="down2")
        x = down(x)
        for number, channels in enumerate((64, 128, 256), start=2):
            filters = int(channels * self.width)
            x = PartialDense(filters, act, name=f"stage{number}")(x)
            maps[f"p{number}"] = x[..., filters:]
            x = MaxPooling(2, padding="same", name=f"pool{number}")(x)
        last = ConvNormAct(int(512 * self.width), 3, activation=act, name="stage5")
        maps["p5"] = last(x)
        return maps
