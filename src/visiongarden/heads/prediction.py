"""Layers and initial biases that heads share: branches, prior probabilities, split by anchors.

An untrained head predicts its prior. If the prior is too high, the cells without an object, times
the classes, dominate the loss for the first hundreds of steps: with a prior of 0.01, the class loss
of one box at 320 pixels is 5 with one class and 196 with 80 classes. Therefore "auto" assumes a
number of objects in an image of 640 × 640 pixels, as the published initializations of YOLOv5 and
YOLOv8 do, and never exceeds RetinaNet's 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.layers import Composite, ConvNormAct, Convolution, DepthwiseNormAct
from visiongarden.parts.fields import Prior
from visiongarden.registry import register
from visiongarden.types import Tensor, stride_of

MAX_PRIOR = 0.01
"""Foreground probability of an untrained head: Lin et al. 2017, RetinaNet, section 4.1."""

_SIDE = 640
"""Height and width in pixels of the image whose cells are counted; a head has no image size."""


_BOX = 4
"""Width and height of the boxes of an untrained head, in strides, as for RetinaNet's anchors (Lin
et al. 2017, section 4: 32 pixels on p3 to 512 on p7). Each object is then trained on the level
that fits its size, from the first step on."""


def prior_logit(probability: float) -> float:
    """Return the bias whose sigmoid is `probability`: -log((1 - p) / p), RetinaNet, section 4.1."""
    return math.log(probability) - math.log1p(-probability)


def class_bias(prior: Prior, num_classes: int, level: str) -> float:
    """Return the initial class bias of a head without objectness.

    "auto" is min(0.01, 5 / num_classes / (640 / stride)**2): five objects of any class in an image
    of 640 × 640 pixels, on each level; YOLOv8's published initialization.

    Args:
        prior: probability of each class in each cell, or "auto".
        num_classes: number of classes.
        level: name of the level, which determines the stride.
    """
    return _bias(prior, 5 / num_classes / _cells(level))


def objectness_bias(prior: Prior, level: str) -> float:
    """Return the initial objectness bias.

    "auto" is min(0.01, 8 / (640 / stride)**2): eight objects in an image of 640 × 640 pixels, on
    each level; YOLOv5's published initialization.

    Args:
        prior: probability of an object in each cell, or at each anchor, or "auto".
        level: name of the level, which determines the stride.
    """
    return _bias(prior, 8 / _cells(level))


def conditional_class_bias(prior: Prior, num_classes: int) -> float:
    """Return the initial class bias of a head with objectness.

    The classes of such a head are trained on objects alone. "auto" is min(0.01, 0.6 / (num_classes
    - 1)), YOLOv5's published initialization: nearly the same probability for each class,
    independent of the number of cells.

    Args:
        prior: probability of each class, or "auto".
        num_classes: number of classes.
    """
    return _bias(prior, 0.6 / max(num_classes - 1, 1))


def distance_bias(bins: int) -> list[float]:
    """Return the initial bias of a distance's distribution.

    Each bin is 2/3 as probable as the one before, so that the expected distance is two strides and
    the box `_BOX` strides wide. Bins of equal probability would give boxes of 15 strides: then no
    object of an ordinary image overlaps a box of p5, and the IoU of a small object, which weights
    its loss, is a tenth.

    Args:
        bins: number of values of the distribution, 0 to bins - 1 strides.

    Returns:
        The bias of each bin.
    """
    ratio = _BOX / (_BOX + 2)  # the mean of a geometric distribution is ratio / (1 - ratio)
    return [k * math.log(ratio) for k in range(bins)]


def offset_bias() -> list[float]:
    """Return the initial bias of offsets from a cell: centered boxes, `_BOX` strides wide.

    Offsets of 0 are boxes of one stride around the cell's corner. On 16 photographs of COCO at 320
    pixels, SimOTA then finds 83 positives with a mean IoU of 0.25; with the boxes of this bias it
    finds 233 with 0.45, on the level that fits each object.

    Returns:
        [tx, ty, tw, th].
    """
    return [0.5, 0.5, math.log(_BOX), math.log(_BOX)]


def _bias(prior: Prior, derived: float) -> float:
    return prior_logit(min(derived, MAX_PRIOR) if prior == "auto" else prior)


def _cells(level: str) -> float:
    return (_SIDE / stride_of(level)) ** 2


@register
class RepeatedBias(keras.initializers.Initializer):
    """Initializer of a bias whose values repeat over the channels.

    Args:
        values: one value for all channels, or the values that repeat.
    """

    def __init__(self, values: float | Sequence[float]) -> None:
        self.values = values

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Return the bias of shape (channels,), a multiple of the number of values."""
        values = np.atleast_1d(np.asarray(self.values, "float32"))
        repeated = np.tile(values, shape[0] // len(values))
        return ops.convert_to_tensor(repeated, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"values": self.values}


@register
class Branch(Composite):
    """Prediction branch: 3×3 convolutions, then a 1×1 convolution with bias.

    Input: (batch, height, width, channels). Output: (batch, height, width, outputs).

    Args:
        filters: channels of the 3×3 convolutions.
        outputs: channels of the prediction.
        repeats: number of 3×3 convolutions.
        bias: initial bias of the prediction: one value, or values that repeat.
        activation: activation of the 3×3 convolutions.
        groups: groups of the convolutions, from the second one on.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        outputs: int,
        repeats: int = 2,
        bias: float | Sequence[float] = 0.0,
        activation: str = "silu",
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [
            ConvNormAct(filters, 3, activation=activation, groups=groups if i else 1)
            for i in range(repeats)
        ]
        self.out = Convolution(outputs, 1, groups=groups, bias_initializer=RepeatedBias(bias))

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions and predict."""
        for conv in self.convs:
            x = conv(x)
        return self.out(x)


@register
class LightBranch(Composite):
    """`Branch` with depthwise separable 3×3 convolutions.

    The class branch of YOLOv10 (Wang et al. 2024, section 3.2, "lightweight classification head")
    and YOLO11.

    Args:
        filters: channels of the 1×1 convolutions.
        outputs: channels of the prediction.
        repeats: number of pairs of a depthwise and a 1×1 convolution.
        bias: initial bias of the prediction.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        outputs: int,
        repeats: int = 2,
        bias: float = 0.0,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depths = [DepthwiseNormAct(3, activation=activation) for _ in range(repeats)]
        self.points = [ConvNormAct(filters, activation=activation) for _ in range(repeats)]
        self.out = Convolution(outputs, 1, bias_initializer=keras.initializers.Constant(bias))

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions and predict."""
        for depth, point in zip(self.depths, self.points, strict=True):
            x = point(depth(x))
        return self.out(x)


@register
class SplitAnchors(keras.layers.Layer):
    """Reshape (batch, ..., anchors * n) to (batch, ..., anchors, n).

    Args:
        anchors: number of anchors per cell.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, anchors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors = anchors

    def call(self, x: Tensor) -> Tensor:
        """Split the channels, anchor by anchor, in Darknet's order."""
        shape = ops.shape(x)
        return ops.reshape(x, (*shape[:-1], self.anchors, x.shape[-1] // self.anchors))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape; unknown dimensions remain unknown."""
        return (*input_shape[:-1], self.anchors, input_shape[-1] // self.anchors)
