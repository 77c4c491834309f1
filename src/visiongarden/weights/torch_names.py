"""Conversion of PyTorch's weight names and axis orders to those of Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

IGNORED = frozenset({"num_batches_tracked"})
"""Names of entries to skip: counters of PyTorch's batch normalization, which Keras lacks."""

_NAMES = {
    "weight": ("kernel", "gamma", "embeddings", "alpha"),
    "bias": ("bias", "beta"),
    # "weight" may become several names; the target's layer decides, as it has only one of them.
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}
_PLAIN = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
)  # fmt: skip
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def looks_like_torch(name: str) -> bool:
    """Return whether a name looks like one of a PyTorch state dict.

    Such a name contains no slash and ends in one of PyTorch's names of parameters and buffers.
    """
    return "/" not in name and name.rsplit(".", 1)[-1] in _NAMES


def keras_path(name: str, layers: Mapping[str, Any]) -> str:
    """Convert a name of a state dict to the path of a Keras weight.

    Args:
        name: Name after renaming, such as "model.0.conv.weight" or "backbone/stem/conv.weight".
        layers: The target's weights by path.

    Returns:
        The path of the target's weight. If there is no such weight, or more than one candidate, the
        name with slashes.
    """
    layer, _, leaf = name.replace(".", "/").rpartition("/")
    prefix = f"{layer}/" if layer else ""
    candidates = [f"{prefix}{own}" for own in _NAMES.get(leaf, ()) if f"{prefix}{own}" in layers]
    return candidates[0] if len(candidates) == 1 else f"{prefix}{leaf}"


def as_keras(path: str, layer: Any) -> Callable[[Any], Any] | None:
    """Return the function that converts an array from PyTorch's axis order to that of Keras.

    The conversion depends on the layer:

    - convolution: (out, in, height, width) to (height, width, in, out)
    - transposed convolution: (in, out, height, width) to (height, width, out, in)
    - depthwise convolution: (in * multiplier, 1, height, width) to (height, width, in, multiplier)
    - dense: (out, in) to (in, out)
    - vectors and embeddings are not changed

    Args:
        path: Path of the Keras weight.
        layer: Layer that the weight belongs to.

    Returns:
        A function from array to array, or None if the axis order of the layer is not known.
    """
    if path.rpartition("/")[2] != "kernel":
        return lambda array: array
    if isinstance(layer, _DEPTHWISE):
        return lambda array: _depthwise(array, layer.depth_multiplier)
    if isinstance(layer, _PLAIN):
        return _axes_reversed
    # Exactly `Dense`: a subclass may store its kernel in any axis order.
    if type(layer) is keras.layers.Dense:
        return lambda array: array.T if array.ndim == 2 else array
    return None


def _depthwise(array: Any, multiplier: int) -> Any:
    if array.ndim < 3 or array.shape[1] != 1 or array.shape[0] % multiplier:
        raise ValueError(f"shape {array.shape} is not that of a depthwise kernel")
    split = array.reshape(array.shape[0] // multiplier, multiplier, *array.shape[2:])
    return np.moveaxis(split, (0, 1), (-2, -1))


def _axes_reversed(array: Any) -> Any:
    """Transpose (first, second, *sides) to (*sides, second, first)."""
    if array.ndim < 3:
        return array
    return np.transpose(array, (*range(2, array.ndim), 1, 0))
