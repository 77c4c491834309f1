"""The prediction layers of Darknet, which transform the maps of the preceding convolution."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.registry import register
from visiongarden.types import Tensor


class _Output(keras.layers.Layer):
    """Base class of prediction layers, whose output has the shape of the input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return tuple(input_shape)

    def _split(self, x: Tensor, anchors: int) -> Tensor:
        return ops.reshape(x, (-1, *x.shape[1:3], anchors, x.shape[3] // anchors))


def _reach(x: Tensor, scale_xy: float) -> Tensor:
    # YOLOv4 (arXiv 2004.10934, section 4.3): a sigmoid reaches the borders of a cell, 0 and 1, only
    # for infinite logits. Scaling around the center of the cell makes its borders reachable.
    return x if scale_xy == 1 else x * scale_xy - (scale_xy - 1) / 2


@register
class YoloOutput(_Output):
    """Darknet's [yolo] layer (YOLOv3 and later).

    The output has, for each anchor of a cell, x and y within the cell, raw width and height,
    objectness and class scores.

    Args:
        anchors: Number of anchors per cell.
        scale_xy: Factor by which the range of x and y is scaled around the center of the cell.
        new_coords: Whether the preceding convolution has already applied the sigmoid.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(
        self, anchors: int, scale_xy: float = 1.0, new_coords: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.anchors, self.scale_xy, self.new_coords = anchors, scale_xy, new_coords

    def call(self, x: Tensor) -> Tensor:
        """Apply the sigmoid to all values except width and height.

        Args:
            x: Tensor of shape (batch, height, width, anchors * (5 + classes)).

        Returns:
            A tensor of the same shape.
        """
        parts = self._split(x, self.anchors)
        center, sides, rest = parts[..., :2], parts[..., 2:4], parts[..., 4:]
        if not self.new_coords:
            center, rest = ops.sigmoid(center), ops.sigmoid(rest)
        joined = ops.concatenate([_reach(center, self.scale_xy), sides, rest], axis=-1)
        return ops.reshape(joined, (-1, *x.shape[1:]))


@register
class GaussianOutput(_Output):
    """Darknet's [Gaussian_yolo] layer (Choi et al. 2019, arXiv 1904.04620).

    Each of x, y, width and height has a mean and a standard deviation.

    Args:
        anchors: Number of anchors per cell.
        scale_xy: Factor by which the range of x and y is scaled around the center of the cell.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, anchors: int, scale_xy: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors, self.scale_xy = anchors, scale_xy

    def call(self, x: Tensor) -> Tensor:
        """Apply the sigmoid to all values except the means of width and height.

        Args:
            x: Tensor of shape (batch, height, width, anchors * (9 + classes)).

        Returns:
            A tensor of the same shape.
        """
        parts = self._split(x, self.anchors)
        soft = ops.sigmoid(parts)
        pieces = [
            _reach(soft[..., 0:1], self.scale_xy),
            soft[..., 1:2],
            _reach(soft[..., 2:3], self.scale_xy),
            soft[..., 3:4],
            parts[..., 4:5],
            soft[..., 5:6],
            parts[..., 6:7],
            soft[..., 7:],
        ]
        return ops.reshape(ops.concatenate(pieces, axis=-1), (-1, *x.shape[1:]))


@register
class RegionOutput(_Output):
    """Darknet's [region] layer (YOLOv2).

    The output has, for each anchor of a cell, a raw box, objectness and class scores.

    Args:
        anchors: Number of anchors per cell.
        softmax: Whether to apply a softmax over the classes, which makes them mutually exclusive.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, anchors: int, softmax: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors, self.softmax = anchors, softmax

    def call(self, x: Tensor) -> Tensor:
        """Apply the sigmoid to the objectness and the softmax to the classes.

        Args:
            x: Tensor of shape (batch, height, width, anchors * (5 + classes)).

        Returns:
            A tensor of the same shape.
        """
        parts = self._split(x, self.anchors)
        classes = parts[..., 5:]
        if self.softmax:
            classes = ops.softmax(classes, axis=-1)
        joined = ops.concatenate([parts[..., :4], ops.sigmoid(parts[..., 4:5]), classes], axis=-1)
        return ops.reshape(joined, (-1, *x.shape[1:]))


@register
class GroupSoftmax(keras.layers.Layer):
    """Softmax over each of several groups of equal size.

    Args:
        groups: Number of groups.
        temperature: Number by which the logits are divided.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, groups: int = 1, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.temperature = groups, temperature

    def call(self, x: Tensor) -> Tensor:
        """Apply the softmax to logits of shape (batch, n)."""
        split = ops.reshape(x, (-1, self.groups, x.shape[-1] // self.groups))
        return ops.reshape(ops.softmax(split / self.temperature, axis=-1), (-1, x.shape[-1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return tuple(input_shape)
