"""What heads share: the branch that ends in a prediction, its prior, the split by anchors."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from visiongarden.layers import Composite, ConvNormAct, Convolution, DepthwiseNormAct
from visiongarden.registry import register

PRIOR = 0.01
"""Probability that an untrained head gives to an object: Lin et al. 2017, RetinaNet, section 4.1.

Without it the many empty cells drown the loss in the first steps."""


def prior_logit(probability: float = PRIOR) -> float:
    """The bias whose sigmoid is `probability`."""
    return -math.log((1 - probability) / probability)


@register
class Branch(Composite):
    """3×3 convolutions and a 1×1 with bias that predicts.

    Args:
        filters: channels of the 3×3 convolutions.
        outputs: channels of the prediction.
        repeats: number of 3×3 convolutions.
        bias: what the prediction's bias starts with.
        activation: of the 3×3 convolutions.
        groups: sets of channels that are convolved apart, from the second convolution on.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        outputs: int,
        repeats: int = 2,
        bias: float = 0.0,
        activation: str = "silu",
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [
            ConvNormAct(filters, 3, activation=activation, groups=groups if i else 1)
            for i in range(repeats)
        ]
        self.out = Convolution(
            outputs, 1, groups=groups, bias_initializer=keras.initializers.Constant(bias)
        )

    def call(self, x: Any) -> Any:
        """Runs the convolutions and predicts."""
        for conv in self.convs:
            x = conv(x)
        return self.out(x)


@register
class LightBranch(Composite):
    """`Branch` with each 3×3 convolution split into a depthwise 3×3 and a 1×1.

    The classes' branch of YOLOv10 (Wang et al. 2024, section 3.2, "lightweight classification
    head") and YOLO11.

    Args:
        filters: channels of the 1×1 convolutions.
        outputs: channels of the prediction.
        repeats: number of pairs.
        bias: what the prediction's bias starts with.
        activation: of every convolution.
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

    def call(self, x: Any) -> Any:
        """Runs the pairs and predicts."""
        for depth, point in zip(self.depths, self.points, strict=True):
            x = point(depth(x))
        return self.out(x)


@register
class SplitAnchors(keras.layers.Layer):
    """(batch, height, width, anchors * n) -> (batch, height, width, anchors, n).

    Args:
        anchors: number of anchors a cell.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, anchors: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors = anchors

    def call(self, x: Any) -> Any:
        """Splits the channels, anchor by anchor, as Darknet orders them."""
        shape = ops.shape(x)
        return ops.reshape(x, (*shape[:3], self.anchors, x.shape[-1] // self.anchors))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Static shape, unknown sides kept."""
        return (*input_shape[:3], self.anchors, input_shape[3] // self.anchors)


@register
class AnchorBias(keras.initializers.Initializer):
    """Bias of an anchor-based prediction: 0 for boxes, the prior for objectness, 0 for classes.

    Args:
        anchors: number of anchors a cell.
        num_classes: number of classes.
    """

    def __init__(self, anchors: int, num_classes: int) -> None:
        self.anchors, self.num_classes = anchors, num_classes

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """The bias, of shape (anchors * (5 + num_classes),)."""
        one = [0.0] * 4 + [prior_logit()] + [0.0] * self.num_classes
        return ops.cast(ops.reshape(ops.array(one * self.anchors), shape), dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"anchors": self.anchors, "num_classes": self.num_classes}
