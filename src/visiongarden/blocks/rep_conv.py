"""Convolutions with parallel branches that fold into one: Ding et al. 2021 (RepVGG)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, Sum
from visiongarden.layers import activation as activation_layer
from visiongarden.registry import register


@register
class RepConv(Composite):
    """A 3×3 and a 1×1 convolution side by side, each normalised, added, activated.

    RepVGG's block (arXiv 2101.03697, section 3.2) without the identity branch, which YOLOv7 (Wang
    et al. 2022, section 4.1, "RepConvN") leaves out. `folded` gives the one convolution that
    computes the same after training. Height and width stay.

    Args:
        filters: channels of the output.
        activation: of the sum.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.large = ConvNormAct(filters, 3, activation=None)
        self.small = ConvNormAct(filters, 1, activation=None)
        self.small.training_only = True
        self.sum = Sum()
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs both branches and adds them."""
        return self.act(self.sum([self.large(x), self.small(x)]))

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (3, 3, in, out) and bias (out,) of the convolution that both branches make."""
        return _folded(self.large, self.small)


@register
class RepDepthwise(Composite):
    """A 7×7 and a 3×3 depthwise convolution side by side, each normalised, added, activated.

    The large kernel of YOLOv10's blocks in its small models (Wang et al. 2024, section 3.2), which
    trains well through a small one beside it (Ding et al. 2022, RepLKNet). Shapes stay.

    Args:
        kernel_sizes: sides of the large and of the small kernel.
        activation: of the sum.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, kernel_sizes: tuple[int, int] = (7, 3), activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.large = DepthwiseNormAct(kernel_sizes[0], activation=None)
        self.small = DepthwiseNormAct(kernel_sizes[1], activation=None)
        self.small.training_only = True
        self.sum = Sum()
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs both branches and adds them."""
        return self.act(self.sum([self.large(x), self.small(x)]))

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (side, side, channels, 1) and bias (channels,) of the one convolution."""
        return _folded(self.large, self.small)


def _folded(large: Any, small: Any) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = _with_norm(large)
    inner, more = _with_norm(small)
    edge = (kernel.shape[0] - inner.shape[0]) // 2
    inner = np.pad(inner, ((edge, edge), (edge, edge), (0, 0), (0, 0)))
    return kernel + inner, bias + more


def _with_norm(branch: Any) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution and the normalisation that follows it."""
    norm = branch.norm
    gamma, beta, mean, variance = (
        keras.ops.convert_to_numpy(w)
        for w in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    kernel = keras.ops.convert_to_numpy(branch.conv.kernel)
    depthwise = isinstance(branch.conv, keras.layers.DepthwiseConv2D)
    shape = (1, 1, -1, 1) if depthwise else (1, 1, 1, -1)
    return kernel * scale.reshape(shape), beta - mean * scale
