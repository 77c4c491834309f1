"""Decoding the outputs of Darknet's prediction layers to boxes and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from visiongarden.darknet.build import name_of
from visiongarden.darknet.geometry import Step
from visiongarden.types import ImageSize, Tensor


class DarknetDecode:
    """Decoder of the raw predictions of a `DarknetModel`.

    Args:
        heads: The prediction layers of the network.
    """

    def __init__(self, heads: Sequence[Step]) -> None:
        self.heads = tuple(heads)

    def __call__(self, raw: dict[str, Any], image_size: ImageSize) -> dict[str, Any]:
        """Decode raw predictions.

        Args:
            raw: Output of the model.
            image_size: (height, width) of the network's input in pixels.

        Returns:
            "boxes" (batch, n, 4), xyxy in pixels of the network's input, and "scores"
            (batch, n, classes), both float32.
        """
        found = [_DECODE[head.kind](head, raw[name_of(head)], image_size) for head in self.heads]
        boxes, scores = zip(*found, strict=True)
        return {
            "boxes": ops.concatenate(boxes, axis=1),
            "scores": ops.concatenate(scores, axis=1),
        }


class _Grid:
    """Cell coordinates and anchors of a prediction map, flattened in row-major order.

    The anchors of a cell follow one another. `box_values` is the number of values of a
    prediction besides its class scores.
    """

    def __init__(self, step: Step, size: ImageSize, box_values: int) -> None:
        rows, columns, _ = step.shape
        anchors = np.asarray(step.settings["anchors"], np.float32)
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        cells = np.stack([x, y], -1).reshape(-1, 1, 2)
        repeated = np.repeat(cells, len(anchors), axis=1).reshape(-1, 2)
        self.count = len(repeated)
        self.cells = ops.convert_to_tensor(repeated)
        self.anchors = ops.convert_to_tensor(np.tile(anchors, (rows * columns, 1)))
        stride = np.array([size[1] / columns, size[0] / rows], np.float32)
        self.stride = ops.convert_to_tensor(stride)
        self.values = step.settings["classes"] + box_values

    def flat(self, x: Tensor) -> Tensor:
        """Reshape (batch, rows, columns, anchors * n) to float32 (batch, predictions, n)."""
        return ops.reshape(ops.cast(x, "float32"), (-1, self.count, self.values))


def _corners(center: Any, sides: Any) -> Any:
    return ops.concatenate([center - sides / 2, center + sides / 2], axis=-1)


def _yolo(step: Step, x: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    grid = _Grid(step, size, 5)
    x = grid.flat(x)
    center = (x[..., :2] + grid.cells) * grid.stride
    if step.settings["new_coords"]:
        # Scaled-YOLOv4: (2 sigmoid(t))² × anchor. The convolution has applied the sigmoid already.
        sides = ops.square(x[..., 2:4]) * 4 * grid.anchors
    else:
        sides = ops.exp(x[..., 2:4]) * grid.anchors
    return _corners(center, sides), x[..., 4:5] * x[..., 5:]


def _gaussian(step: Step, x: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    grid = _Grid(step, size, 9)
    x = grid.flat(x)
    means, deviations = x[..., 0:8:2], x[..., 1:8:2]
    sides = ops.exp(means[..., 2:]) * grid.anchors
    center = (means[..., :2] + grid.cells) * grid.stride
    # Localization uncertainty, the mean of the four standard deviations, lowers the score
    # (Choi et al. 2019, arXiv 1904.04620).
    certainty = 1 - ops.mean(deviations, axis=-1, keepdims=True)
    shift = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[step.settings["point"]]
    return _corners(center + shift * sides, sides), x[..., 8:9] * x[..., 9:] * certainty


def _region(step: Step, x: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    grid = _Grid(step, size, 5)
    x = grid.flat(x)
    center = (ops.sigmoid(x[..., :2]) + grid.cells) * grid.stride
    sides = ops.exp(x[..., 2:4]) * grid.anchors * grid.stride  # anchors are in cells, not pixels
    return _corners(center, sides), x[..., 4:5] * x[..., 5:]


def _detection(step: Step, x: Tensor, size: ImageSize) -> tuple[Tensor, Tensor]:
    """Decode the output of YOLOv1, a vector of three blocks.

    The blocks are the class probabilities of all cells, then the confidences of all boxes, then the
    boxes themselves.
    """
    s = step.settings
    side, count, classes = s["side"], s["count"], s["classes"]
    cells = side * side
    x = ops.cast(x, "float32")
    probabilities = ops.reshape(x[:, : cells * classes], (-1, cells, 1, classes))
    confidences = ops.reshape(
        x[:, cells * classes : cells * (classes + count)], (-1, cells, count, 1)
    )
    boxes = ops.reshape(x[:, cells * (classes + count) :], (-1, cells * count, 4))
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    cell_indices = np.repeat(np.stack([columns, rows], -1).reshape(-1, 2), count, axis=0)
    grid = ops.convert_to_tensor(cell_indices)
    scale = ops.convert_to_tensor(np.array([size[1], size[0]], np.float32))
    center = (boxes[..., :2] + grid) / side * scale
    sides = (ops.square(boxes[..., 2:]) if s["sqrt"] else boxes[..., 2:]) * scale
    return _corners(center, sides), ops.reshape(
        probabilities * confidences, (-1, cells * count, classes)
    )


_DECODE: dict[str, Callable[[Step, Any, ImageSize], tuple[Any, Any]]] = {
    "Gaussian_yolo": _gaussian,
    "detection": _detection,
    "region": _region,
    "yolo": _yolo,
}
