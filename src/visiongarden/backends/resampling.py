"""Max pooling and nearest-neighbor upsampling in the fastest form of each backend.

**Why.** On PyTorch, Keras transposes the feature map before and after pooling; it upsamples by
repeating rows and columns in two copies. On a CPU, JAX compares all values of each window, and
finds the maximum again for the gradient. **Gain:** PyTorch: inference ×1.25, together with
`captured_inference` and `kernel_layout`. JAX: max pooling and its gradient in a twentieth to a
sixth of the time (benchmarks/RESULTS.md, Speed). **Switch:** `resampling`, for the layers of Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import keras

from visiongarden.backends.switches import is_on
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import jax
    import torch

Pad: TypeAlias = tuple[int, int]
"""Numbers of cells that are added before the first and after the last row, or column."""

_LARGEST_WINDOW = 16
"""Largest side of a window that is unrolled on JAX; Keras pools larger windows."""


def max_pooling(
    x: Any, window: tuple[int, int], pads: tuple[Pad, Pad]
) -> Callable[..., Any] | None:
    """Return `pool(x, window, strides, pads)`, or None if Keras should pool.

    Args:
        x: (batch, height, width, channels).
        window: height and width of the window.
        pads: padding with minus infinity, of rows and of columns.
    """
    backend = keras.backend.backend()
    if not is_on("resampling"):
        return None
    if backend == "torch":
        return _max_on_torch if all(low == high for low, high in pads) else None
    return _max_on_jax if backend == "jax" and _suits_jax(x, window, pads) else None


def nearest_upsampling() -> Callable[[Any, tuple[int, int]], Any] | None:
    """Return `upsample(x, size)` by nearest neighbor, or None: that of Keras."""
    found = {"tensorflow": _nearest_on_tensorflow, "torch": _nearest_on_torch}
    return found.get(keras.backend.backend()) if is_on("resampling") else None


def _max_on_torch(
    x: torch.Tensor, window: tuple[int, int], strides: tuple[int, int], pads: tuple[Pad, Pad]
) -> torch.Tensor:
    import torch

    pad = [low for low, _ in pads]
    pooled = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), window, strides, pad)
    return pooled.permute(0, 2, 3, 1)


def _suits_jax(x: Any, window: tuple[int, int], pads: tuple[Pad, Pad]) -> bool:
    """Return whether `_max_on_jax` can compute a pooling, and is faster."""
    import jax

    sides = x.shape[1:3]
    return (
        jax.default_backend() == "cpu"
        and max(window) <= _LARGEST_WINDOW
        # In an export for images of any size, the sides are symbolic.
        and all(isinstance(side, int) for side in sides)
        and all(
            side + sum(pad) >= each for side, each, pad in zip(sides, window, pads, strict=True)
        )
        and keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    )


def _max_on_jax(
    x: jax.Array, window: tuple[int, int], strides: tuple[int, int], pads: tuple[Pad, Pad]
) -> jax.Array:
    # Pooling along the columns and then along the rows gives the maximum of each window. If several
    # values are equal, the first one receives the gradient, as on PyTorch.
    pool = _max_along_axis()
    for axis in (2, 1):
        x = pool(x, axis, window[axis - 1], strides[axis - 1], pads[axis - 1])
    return x


@functools.cache
def _max_along_axis() -> Callable[..., Any]:
    """Return `pool(x, axis, window, stride, pad)`, max pooling along one axis."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    def taps(x: jax.Array, axis: int, window: int, stride: int, pad: Pad) -> Iterator[jax.Array]:
        """Yield the first value of each window, then the second one, and so on."""
        count = (x.shape[axis] + sum(pad) - window) // stride + 1
        padded = jnp.pad(x, _pads_of(axis, pad), constant_values=-jnp.inf)
        for tap in range(window):
            yield lax.slice_in_dim(padded, tap, tap + stride * (count - 1) + 1, stride, axis)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
    def pool(x: jax.Array, axis: int, window: int, stride: int, pad: Pad) -> jax.Array:
        return functools.reduce(jnp.maximum, taps(x, axis, window, stride, pad))

    def forward(x: jax.Array, axis: int, window: int, stride: int, pad: Pad) -> Any:
        best, *others = taps(x, axis, window, stride, pad)
        index = jnp.zeros(best.shape, "int8")
        for tap, value in enumerate(others, start=1):
            index = jnp.where(value > best, jnp.int8(tap), index)
            best = jnp.maximum(best, value)
        # Only arrays can be kept: an empty one records the side of the input.
        return best, (index, jnp.zeros((x.shape[axis], 0)))

    def backward(axis: int, window: int, stride: int, pad: Pad, kept: Any, above: jax.Array) -> Any:
        index, side = kept[0], kept[1].shape[0]
        # A scatter is slow on a CPU. Cells are grouped by their position within a stride instead;
        # the gradients of a group are a sum over the windows that contain its cells.
        count = -(-side // stride)
        windows = [_windows_of(cell + pad[0], window, stride) for cell in range(stride)]
        offsets = [offset for each in windows for offset, _ in each]
        low, high = max(-min(offsets), 0), max(count + max(offsets) - above.shape[axis], 0)
        pads = _pads_of(axis, (low, high))
        above, index = jnp.pad(above, pads), jnp.pad(index, pads)

        def shifted(x: jax.Array, offset: int) -> jax.Array:
            return lax.slice_in_dim(x, low + offset, low + offset + count, axis=axis)

        sums = []
        for each in windows:
            total = jnp.zeros_like(shifted(above, 0))
            for offset, tap in each:
                total += jnp.where(shifted(index, offset) == tap, shifted(above, offset), 0)
            sums.append(total)
        shape = list(above.shape)
        shape[axis] = count * stride
        joined = jnp.stack(sums, axis + 1).reshape(shape)
        return (lax.slice_in_dim(joined, 0, side, axis=axis),)

    pool.defvjp(forward, backward)
    found: Callable[..., Any] = pool
    return found


def _windows_of(cell: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Return (offset, tap) of each window that contains a cell of the padded input.

    The cell at `cell + stride * i` is value `tap` of window `offset + i`, for each i.
    """
    taps = range(window)
    return [((cell - tap) // stride, tap) for tap in taps if (cell - tap) % stride == 0]


def _pads_of(axis: int, pad: Pad) -> list[Pad]:
    """Return the padding of each of four axes, of which one is padded."""
    return [pad if each == axis else (0, 0) for each in range(4)]


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
