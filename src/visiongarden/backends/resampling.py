"""Max pooling and nearest-neighbor upsampling as one operation.

**Why.** On PyTorch, Keras transposes the feature map before and after pooling; it upsamples by
repeating rows and columns in two copies. **Gain:** PyTorch: inference ×1.25, together with
`captured_inference` and `kernel_layout` (benchmarks/RESULTS.md, Speed). **Switch:** `resampling`,
for the layers of Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from visiongarden.backends.switches import is_on
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import torch


def max_pooling() -> Callable[..., Any] | None:
    """Return `pool(x, window, strides, pad)` for symmetric padding, or None: that of Keras."""
    return _max_on_torch if keras.backend.backend() == "torch" and is_on("resampling") else None


def nearest_upsampling() -> Callable[[Any, tuple[int, int]], Any] | None:
    """Return `upsample(x, size)` by nearest neighbor, or None: that of Keras."""
    found = {"tensorflow": _nearest_on_tensorflow, "torch": _nearest_on_torch}
    return found.get(keras.backend.backend()) if is_on("resampling") else None


def _max_on_torch(
    x: torch.Tensor, window: tuple[int, int], strides: tuple[int, int], pad: tuple[int, int]
) -> torch.Tensor:
    import torch

    pooled = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), window, strides, pad)
    return pooled.permute(0, 2, 3, 1)


def _nearest_on_torch(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    import torch

    factors = tuple(float(side) for side in size)
    enlarged = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=factors)
    return enlarged.permute(0, 2, 3, 1)


def _nearest_on_tensorflow(inputs: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample by nearest neighbor, with a custom gradient that XLA can compile as well.

    The gradient is the sum over each block of output cells, computed as an average pooling.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def enlarged(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        sides = tf.shape(x)[1:3] if None in x.shape[1:3] else x.shape[1:3]
        y = tf.raw_ops.ResizeNearestNeighbor(images=x, size=tf.multiply(sides, size))

        def back(gradient: tf.Tensor) -> tf.Tensor:
            return tf.nn.avg_pool2d(gradient, size, size, "VALID") * (size[0] * size[1])

        return y, back

    result: Tensor = enlarged(inputs)
    return result
