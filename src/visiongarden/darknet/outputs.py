"""What Darknet's prediction layers do to the maps before them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.registry import register


class _Output(keras.layers.Layer):
    """Maps of predictions; the output is as large as the input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Same as the input's."""
        return tuple(input_shape)

    def _split(self, x: Any, anchors: int) -> Any:
        return ops.reshape(x, (-1, *x.shape[1:3], anchors, x.shape[3] // anchors))


def _reach(x: Any, scale_xy: float) -> Any:
    return x if scale_xy == 1 else x * scale_xy - (scale_xy - 1) / 2


@register
class YoloOutput(_Output):
    """[yolo]: for each anchor x, y in the cell, raw width and height, objectness, classes.

    Args:
        anchors: number of anchors a cell.
        scale_xy: reach of a cell's centre prediction.
        new_coords: the convolution before it has applied the logistic function already.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, anchors: int, scale_xy: float = 1.0, new_coords: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.anchors, self.scale_xy, self.new_coords = anchors, scale_xy, new_coords

    def call(self, x: Any) -> Any:
        """Logistic functions where the format has them."""
        parts = self._split(x, self.anchors)
        centre, sides, rest = parts[..., :2], parts[..., 2:4], parts[..., 4:]
        if not self.new_coords:
            centre, rest = ops.sigmoid(centre), ops.sigmoid(rest)
        joined = ops.concatenate([_reach(centre, self.scale_xy), sides, rest], axis=-1)
        return ops.reshape(joined, (-1, *x.shape[1:]))


@register
class GaussianOutput(_Output):
    """[Gaussian_yolo] (Choi et al. 2019): each of x, y, w, h has a mean and a deviation.

    Args:
        anchors: number of anchors a cell.
        scale_xy: reach of a cell's centre prediction.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, anchors: int, scale_xy: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors, self.scale_xy = anchors, scale_xy

    def call(self, x: Any) -> Any:
        """Logistic functions on all but the means of width and height."""
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
    """[region] (YOLOv2): raw box, objectness, softmax over the classes.

    Args:
        anchors: number of anchors a cell.
        softmax: whether classes exclude each other.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, anchors: int, softmax: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.anchors, self.softmax = anchors, softmax

    def call(self, x: Any) -> Any:
        """The box stays raw, as in Darknet."""
        parts = self._split(x, self.anchors)
        classes = parts[..., 5:]
        if self.softmax:
            classes = ops.softmax(classes, axis=-1)
        joined = ops.concatenate([parts[..., :4], ops.sigmoid(parts[..., 4:5]), classes], axis=-1)
        return ops.reshape(joined, (-1, *x.shape[1:]))


@register
class GroupSoftmax(keras.layers.Layer):
    """Softmax over each of several equal groups of a vector.

    Args:
        groups: number of groups.
        temperature: divides the logits.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, groups: int = 1, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.temperature = groups, temperature

    def call(self, x: Any) -> Any:
        """(batch, n) -> (batch, n)."""
        split = ops.reshape(x, (-1, self.groups, x.shape[-1] // self.groups))
        return ops.reshape(ops.softmax(split / self.temperature, axis=-1), (-1, x.shape[-1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Same as the input's."""
        return tuple(input_shape)
