"""PyTorch's names and axes for weights, as Keras's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

IGNORED = frozenset({"num_batches_tracked"})
"""Counters of PyTorch's batch normalisation, which no Keras layer has."""

_NAMES = {
    "weight": ("kernel", "gamma", "embeddings", "alpha"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}
_PLAIN = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
)  # fmt: skip
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def looks_like_torch(name: str) -> bool:
    """Whether a name is spelled as in a state dict: dots, and one of PyTorch's leaf names."""
    return "/" not in name and name.rsplit(".", 1)[-1] in _NAMES


def keras_path(name: str, layers: Mapping[str, Any]) -> str:
    """A state dict's name (renamed, perhaps with slashes) as the path of a Keras weight.

    Args:
        name: "model.0.conv.weight" or "backbone/stem/conv.weight".
        layers: paths of the target's weights.

    Returns:
        The path; the name with slashes, where the target has none or more than one that could
        be meant.
    """
    layer, _, leaf = name.replace(".", "/").rpartition("/")
    prefix = f"{layer}/" if layer else ""
    could = [f"{prefix}{own}" for own in _NAMES.get(leaf, ()) if f"{prefix}{own}" in layers]
    return could[0] if len(could) == 1 else f"{prefix}{leaf}"


def as_keras(path: str, layer: Any) -> Callable[[Any], Any] | None:
    """How an array of PyTorch's layout becomes one of Keras's, for a weight of `layer`.

    Convolutions (out, in, height, width) -> (height, width, in, out); transposed ones (in, out,
    height, width) -> (height, width, out, in); depthwise (in · multiplier, 1, height, width) ->
    (height, width, in, multiplier); linear (out, in) -> (in, out). Vectors and embeddings stay.

    Returns:
        A function on arrays; None where the layer's layout is not known.
    """
    if path.rpartition("/")[2] != "kernel":
        return lambda array: array
    if isinstance(layer, _DEPTHWISE):
        return lambda array: _depthwise(array, layer.depth_multiplier)
    if isinstance(layer, _PLAIN):
        return _axes_reversed
    if type(layer) is keras.layers.Dense:
        return lambda array: array.T if array.ndim == 2 else array
    return None


def _depthwise(array: Any, multiplier: int) -> Any:
    if array.ndim < 3 or array.shape[1] != 1 or array.shape[0] % multiplier:
        raise ValueError(f"shape {array.shape} is no depthwise kernel")
    split = array.reshape(array.shape[0] // multiplier, multiplier, *array.shape[2:])
    return np.moveaxis(split, (0, 1), (-2, -1))


def _axes_reversed(array: Any) -> Any:
    """(first, second, cells ...) -> (cells ..., second, first)."""
    if array.ndim < 3:
        return array
    return np.transpose(array, (*range(2, array.ndim), 1, 0))
