"""Batch normalization that one side folds into the convolution before it, and the other does not.

A convolution with the weights W and b, followed by a normalization with the scale g, the offset o,
the mean m and the variance v, computes (W * x + b - m) g / sqrt(v + epsilon) + o. A bias b is the
same as the mean m - b, another epsilon the same as another variance, and a folded convolution with
the bias b the same as one whose normalization only adds o = b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.weights.live import Owned
from visiongarden.weights.pair import Pair, pair
from visiongarden.weights.sources import Stored

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_TORCH = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
CONV, NORM = "conv", "norm"
"""Names of the convolution and the normalization in the layers that have both."""

Pairs = dict[str, Pair]
Left = dict[str, Stored]


def folded(
    pairs: Pairs, left: Left, own: Mapping[str, Owned], epsilon: float | None
) -> tuple[Pairs, Left]:
    """Return pairs in which the weights of normalizations have the target's form.

    Args:
        pairs: Pairs by path of the target.
        left: Weights of the source without a counterpart, by the name that rules gave them.
        own: Weights of the target by path.
        epsilon: Epsilon of the source's normalization, or None if it is the target's.
    """
    pairs, left = dict(pairs), dict(left)
    for path in own:
        unit, _, leaf = path.rpartition(f"/{CONV}/")
        # A depthwise kernel has the same name as that of other convolutions.
        if leaf != "kernel" or path not in pairs:
            continue
        if f"{unit}/{NORM}/beta" in own:
            _into_norm(unit, pairs, left, own)
            _with_epsilon(f"{unit}/{NORM}/moving_variance", pairs, own, epsilon)
        elif f"{unit}/{CONV}/bias" in own and epsilon is not None:
            _into_conv(unit, pairs, left, own, epsilon)
    return pairs, left


def _into_norm(unit: str, pairs: Pairs, left: Left, own: Mapping[str, Owned]) -> None:
    """Give the bias of a convolution to the normalization after it."""
    bias = left.get(f"{unit}/{CONV}/bias")
    if bias is None:
        return
    mean = f"{unit}/{NORM}/moving_mean"
    paths = {name: f"{unit}/{NORM}/{name}" for name in _NORM}
    if mean in pairs:
        before = pairs[mean].stored
        name = f"{before.name} - {bias.name}"
        read = _difference(before.read, bias.read)
        pairs[mean] = pair(replace(before, name=name, read=read), own[mean], was_renamed=True)
    elif not any(path in pairs for path in paths.values()):
        epsilon = own[mean].layer.epsilon
        size = bias.shape[0] if bias.shape else 0
        constants = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0 - epsilon}
        for name, value in constants.items():
            stored = _constant(f"{value:g} for {bias.name}", value, size)
            pairs[paths[name]] = pair(stored, own[paths[name]], was_renamed=True)
        pairs[paths["beta"]] = pair(bias, own[paths["beta"]], was_renamed=True)
    else:
        return
    del left[f"{unit}/{CONV}/bias"]


def _with_epsilon(path: str, pairs: Pairs, own: Mapping[str, Owned], epsilon: float | None) -> None:
    """Shift a moving variance by the difference of the two epsilons."""
    if epsilon is None or path not in pairs or " for " in pairs[path].stored.name:
        return
    shift = epsilon - own[path].layer.epsilon
    if shift:
        before = pairs[path].stored
        stored = replace(before, read=lambda: _as_float(before.read()) + np.float32(shift))
        pairs[path] = pair(stored, own[path], pairs[path].was_renamed)


def _into_conv(
    unit: str, pairs: Pairs, left: Left, own: Mapping[str, Owned], epsilon: float
) -> None:
    """Fold a normalization of the source into a convolution of the target that has a bias."""
    found = {name: _left_of(left, f"{unit}/{NORM}", name) for name in _NORM}
    mean, variance = found["moving_mean"], found["moving_variance"]
    beta = found["beta"]
    if mean is None or variance is None or beta is None:
        return
    gamma = found["gamma"]

    def factor() -> np.ndarray:
        scale = 1.0 if gamma is None else np.asarray(gamma.read(), np.float64)
        return scale / np.sqrt(np.asarray(variance.read(), np.float64) + epsilon)

    def offset() -> np.ndarray:
        mean_ = np.asarray(mean.read(), np.float64)
        return (np.asarray(beta.read(), np.float64) - mean_ * factor()).astype(np.float32)

    kernel, bias = f"{unit}/{CONV}/kernel", f"{unit}/{CONV}/bias"
    convert = pairs[kernel].convert
    if convert is not None:
        pairs[kernel] = replace(
            pairs[kernel], convert=lambda array: _scaled(convert(array), factor)
        )
    stored = Stored(f"{beta.name} folded", beta.shape, "float32", offset)
    pairs[bias] = pair(stored, own[bias], was_renamed=True)
    used = {id(each) for each in found.values()}
    for name in [name for name, each in left.items() if id(each) in used]:
        del left[name]


def _left_of(left: Left, layer: str, name: str) -> Stored | None:
    return left.get(f"{layer}/{name}") or left.get(f"{layer}/{_TORCH[name]}")


def _scaled(kernel: Any, factor: Callable[[], np.ndarray]) -> Any:
    if kernel.dtype == np.int8:  # a placeholder, of which only the shape is used
        return kernel
    factors = factor()
    # The kernel of a depthwise convolution ends in (channels, multiplier).
    sides = kernel.shape[-1:] if kernel.shape[-1] == len(factors) else kernel.shape[-2:]
    return (np.asarray(kernel, np.float64) * factors.reshape(sides)).astype(np.float32)


def _difference(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: _as_float(first()) - _as_float(second())


def _as_float(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32)


def _constant(name: str, value: float, size: int) -> Stored:
    return Stored(name, (size,), "float32", lambda: np.full(size, value, np.float32))
