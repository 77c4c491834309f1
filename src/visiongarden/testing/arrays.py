"""Pytrees of arrays: making them from shapes, flattening and comparing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.types import FeatureSpec

BATCH = 3
TOLERANCE = 1e-3
"""Largest difference as a share of the largest number: float32 through many layers."""


def is_shape(value: Any) -> bool:
    """Whether a value is a shape: a tuple or list of numbers and None."""
    return (
        isinstance(value, (tuple, list))
        and len(value) > 0
        and all(side is None or isinstance(side, int) for side in value)
    )


def arrays_like(spec: Any, seed: int = 0, batch: int = BATCH) -> Any:
    """Random float32 arrays for shapes, nested as they are; arrays pass.

    Normal numbers; from 0 to 1 where the last axis is 3, as in images. A side that is None is 16.

    Args:
        spec: array, shape (batch, ...), FeatureSpec, or list, tuple or dict of them.
        seed: of the numbers.
        batch: the first side of every array that is made.

    Raises:
        UserError: neither an array nor a shape.
    """
    rng = np.random.default_rng(seed)

    def make(item: Any) -> Any:
        if isinstance(item, FeatureSpec):
            height, width = image_sides(max(s.stride for s in item.values()))
            return {
                level: make((batch, height // s.stride, width // s.stride, s.channels))
                for level, s in item.items()
            }
        if isinstance(item, Mapping):
            return {key: make(value) for key, value in item.items()}
        if is_shape(item):
            shape = (batch, *(16 if side is None else side for side in item[1:]))
            if shape[-1] == 3:
                return rng.uniform(0, 1, shape).astype(np.float32)
            return rng.normal(size=shape).astype(np.float32)
        if isinstance(item, (tuple, list)):
            return type(item)(make(value) for value in item)
        if hasattr(item, "shape") and hasattr(item, "dtype"):
            array = keras.ops.convert_to_numpy(item)
            if array.ndim == 0 or len(array) != 1:
                return array
            # A batch of one hides what mixes the images of a batch.
            second = array * np.asarray(0.5, array.dtype) if array.dtype.kind == "f" else array
            return np.concatenate([array, second])
        raise UserError(
            "inputs cannot be understood",
            rule="an array, a shape with the batch first, a FeatureSpec, or a list or dict of them",
            received=repr(item)[:80],
            fix="inputs=(2, 16, 24, 8)",
        )

    return make(spec)


def image_sides(largest: int) -> tuple[int, int]:
    """(height, width) of images for a largest stride: multiples of it, and not square."""
    return max(64, largest), max(64, largest) + max(32, largest)


def batch_of(spec: Any) -> int:
    """The batch of the arrays among inputs, which all others share; `BATCH` where there is none."""
    if isinstance(spec, Mapping) and not isinstance(spec, FeatureSpec):
        spec = list(spec.values())
    if isinstance(spec, (tuple, list)) and not is_shape(spec):
        found = [batch_of(item) for item in spec if not is_shape(item)]
        return next((size for size in found if size != BATCH), BATCH)
    if hasattr(spec, "shape") and hasattr(spec, "dtype") and len(spec.shape):
        return max(int(spec.shape[0]), 2)
    return BATCH


def leaves(tree: Any) -> list[Any]:
    """The leaves of a pytree, in Keras's order."""
    return list(keras.tree.flatten(tree))


def numpy_leaves(tree: Any) -> list[np.ndarray]:
    """The leaves as NumPy arrays; bfloat16 and float16 become float32."""
    return [_numpy(leaf) for leaf in leaves(tree)]


def _numpy(leaf: Any) -> np.ndarray:
    if keras.backend.standardize_dtype(leaf.dtype) in ("bfloat16", "float16"):
        leaf = keras.ops.cast(leaf, "float32")
    return np.asarray(keras.ops.convert_to_numpy(leaf))


def difference(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Largest difference, as a share of the largest number; infinite where shapes differ."""
    worst = 0.0
    if len(ones) != len(others):
        return float("inf")
    for one, other in zip(ones, others, strict=True):
        if one.shape != other.shape:
            return float("inf")
        one, other = one.astype(np.float64), other.astype(np.float64)
        if (np.isnan(one) != np.isnan(other)).any():
            return float("inf")
        scale = np.nanmax(np.abs(one), initial=1e-6)
        worst = max(worst, float(np.nanmax(np.abs(one - other), initial=0)) / scale)
    return worst


def shapes(tree: Any) -> str:
    """Shapes of the leaves, for a person."""
    return ", ".join(str(tuple(leaf.shape)) for leaf in leaves(tree))


def is_float(leaf: Any) -> bool:
    """Whether an array or tensor holds floats."""
    return "float" in keras.backend.standardize_dtype(leaf.dtype)


def inputs_of(model: Any) -> Any:
    """The symbolic inputs of a functional model, nested as it takes them."""
    if isinstance(model, keras.Sequential):  # has no `input` before it is called
        return model.inputs[0]
    return model.input
