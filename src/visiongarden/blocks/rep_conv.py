"""Convolutions with parallel branches that fold into one: Ding et al. 2021 (RepVGG)."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import numpy as np

from visiongarden.layers import Composite, ConvNormAct, Convolution, DepthwiseNormAct, Sum
from visiongarden.layers import activation as activation_layer
from visiongarden.layers.fold import is_folding
from visiongarden.registry import register
from visiongarden.types import Tensor

Branch: TypeAlias = ConvNormAct | DepthwiseNormAct


class _TwoBranches(Composite):
    """Base class: two branches that are added, or the one convolution that they fold into."""

    def _branches(self, large: Branch, small: Branch, activation: str) -> None:
        # Set on the instance: PyTorch finds a layer only where the class has no such attribute.
        self.conv = None
        self.large, self.small = large, small
        self.small.training_only = True
        self.sum = Sum()
        self.act = activation_layer(activation)

    def _one(self, conv: keras.Layer, activation: str) -> None:
        self.conv = conv
        self.act = activation_layer(activation)

    def call(self, x: Tensor) -> Tensor:
        """Run both branches and add them, or run the folded convolution."""
        if self.conv is not None:
            return self.act(self.conv(x))
        return self.act(self.sum([self.large(x), self.small(x)]))

    def fold(self) -> dict[str, np.ndarray]:
        """Return the weights of the folded form: "conv/kernel" and "conv/bias"."""
        large, small = self.large.fold(), self.small.fold()
        # A small kernel equals a large one with zeros around it, since both branches are padded to
        # keep height and width; convolution is linear in the kernel, so that the kernels add up.
        edge = (large["conv/kernel"].shape[0] - small["conv/kernel"].shape[0]) // 2
        inner = np.pad(small["conv/kernel"], ((edge, edge), (edge, edge), (0, 0), (0, 0)))
        return {
            "conv/kernel": large["conv/kernel"] + inner,
            "conv/bias": large["conv/bias"] + small["conv/bias"],
        }


@register
class RepConv(_TwoBranches):
    """Parallel 3×3 and 1×1 convolutions, each normalized, then added and activated.

    RepVGG's block (arXiv 2101.03697, section 3.2) without the identity branch, which YOLOv7 omits
    (Wang et al. 2022, section 4.1, "RepConvN"). Input: (batch, height, width, channels). Output:
    (batch, height, width, filters).

    Args:
        filters: number of output channels.
        activation: activation of the sum.
        folded: if True, a single 3×3 convolution replaces both branches, as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.RepConv(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
        >>> with vg.layers.folding():
        ...     vg.blocks.RepConv(8).conv.kernel_size
        (3, 3)
    """

    def __init__(
        self, filters: int, activation: str = "silu", folded: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if self.record_argument("folded", folded or is_folding()):
            self._one(Convolution(filters, 3), activation)
        else:
            large = ConvNormAct(filters, 3, activation=None)
            self._branches(large, ConvNormAct(filters, 1, activation=None), activation)


@register
class RepDepthwise(_TwoBranches):
    """Parallel 7×7 and 3×3 depthwise convolutions, each normalized, then added and activated.

    The large kernel in the blocks of YOLOv10's small models (Wang et al. 2024, section 3.2), whose
    training is helped by a small parallel kernel (Ding et al. 2022, RepLKNet). The shape is
    unchanged.

    Args:
        kernel_sizes: sizes of the large and the small kernel.
        activation: activation of the sum.
        folded: if True, a single depthwise convolution replaces both branches, as in `ConvNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.RepDepthwise()(keras.Input((16, 16, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        kernel_sizes: tuple[int, int] = (7, 3),
        activation: str = "silu",
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.record_argument("folded", folded or is_folding()):
            conv = keras.layers.DepthwiseConv2D(kernel_sizes[0], padding="same")
            self._one(conv, activation)
        else:
            large, small = (DepthwiseNormAct(side, activation=None) for side in kernel_sizes)
            self._branches(large, small, activation)
