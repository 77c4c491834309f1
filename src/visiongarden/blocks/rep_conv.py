"""Convolutions with parallel branches that fold into one: Ding et al. 2021 (RepVGG)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.layers import Composite, ConvNormAct, Convolution, DepthwiseNormAct, Sum
from visiongarden.layers import activation as activation_layer
from visiongarden.layers.folding import is_folding
from visiongarden.registry import register


class _TwoBranches(Composite):
    """What both share: a large and a small branch, or the one convolution that they fold into."""

    def _branches(self, large: Any, small: Any, activation: str) -> None:
        self.large, self.small = large, small
        self.small.training_only = True
        self.sum = Sum()
        self.act = activation_layer(activation)

    def _one(self, conv: Any, activation: str) -> None:
        self.conv = conv
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs both branches and adds them."""
        if hasattr(self, "conv"):
            return self.act(self.conv(x))
        return self.act(self.sum([self.large(x), self.small(x)]))

    def fold(self) -> dict[str, Any]:
        """Weights of the folded form: "conv/kernel" and "conv/bias"."""
        large, small = self.large.fold(), self.small.fold()
        edge = (large["conv/kernel"].shape[0] - small["conv/kernel"].shape[0]) // 2
        inner = np.pad(small["conv/kernel"], ((edge, edge), (edge, edge), (0, 0), (0, 0)))
        return {
            "conv/kernel": large["conv/kernel"] + inner,
            "conv/bias": large["conv/bias"] + small["conv/bias"],
        }


@register
class RepConv(_TwoBranches):
    """A 3×3 and a 1×1 convolution side by side, each normalised, added, activated.

    RepVGG's block (arXiv 2101.03697, section 3.2) without the identity branch, which YOLOv7 (Wang
    et al. 2022, section 4.1, "RepConvN") leaves out. Height and width stay.

    Args:
        filters: channels of the output.
        activation: of the sum.
        folded: whether one 3×3 convolution stands for both, as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, activation: str = "silu", folded: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if self.says("folded", folded or is_folding()):
            self._one(Convolution(filters, 3), activation)
        else:
            large = ConvNormAct(filters, 3, activation=None)
            self._branches(large, ConvNormAct(filters, 1, activation=None), activation)


@register
class RepDepthwise(_TwoBranches):
    """A 7×7 and a 3×3 depthwise convolution side by side, each normalised, added, activated.

    The large kernel of YOLOv10's blocks in its small models (Wang et al. 2024, section 3.2), which
    trains well through a small one beside it (Ding et al. 2022, RepLKNet). Shapes stay.

    Args:
        kernel_sizes: sides of the large and of the small kernel.
        activation: of the sum.
        folded: whether one depthwise convolution stands for both, as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        kernel_sizes: tuple[int, int] = (7, 3),
        activation: str = "silu",
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.says("folded", folded or is_folding()):
            conv = keras.layers.DepthwiseConv2D(kernel_sizes[0], padding="same")
            self._one(conv, activation)
        else:
            large, small = (DepthwiseNormAct(side, activation=None) for side in kernel_sizes)
            self._branches(large, small, activation)
