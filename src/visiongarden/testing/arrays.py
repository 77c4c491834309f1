"""Nested structures of arrays: creation from shapes, flattening and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.parts.target_inputs import PREFIX, WithTargets
from visiongarden.types import FeatureSpec

BATCH = 3
TOLERANCE = 1e-3
"""Maximum difference relative to the largest absolute value, for float32 through many layers."""


@runtime_checkable
class Shaped(Protocol):
    """Array or tensor of any library."""

    @property
    def shape(self) -> Any:
        """Sizes of the axes."""

    @property
    def dtype(self) -> Any:
        """Type of the elements."""


def is_shape(value: Any) -> bool:
    """Return whether a value is a shape: a non-empty tuple or list of integers and None."""
    return (
        isinstance(value, (tuple, list))
        and len(value) > 0
        and all(side is None or isinstance(side, int) for side in value)
    )


def arrays_like(spec: Any, seed: int = 0, batch: int = BATCH) -> Any:
    """Replace the shapes in a nested structure by random float32 arrays.

    Values are uniform in 0 to 1 if the last axis has size 3, as images do, and standard normal
    otherwise. Sides that are None become 16. Arrays are kept, but a batch of one gets a second
    image.

    Args:
        spec: Array, shape (batch, ...), `FeatureSpec`, or list, tuple or dict of these.
        seed: Seed of the random numbers.
        batch: Batch size of the created arrays; the batch in a shape is ignored.

    Returns:
        NumPy arrays, nested as in `spec`. A `FeatureSpec` becomes a dict of arrays by level.

    Raises:
        UserError: If a leaf is neither an array nor a shape.
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
        if isinstance(item, Shaped):
            array = keras.ops.convert_to_numpy(item)
            if array.ndim == 0 or len(array) != 1:
                return array
            # With a batch of one, a layer that mixes the images of a batch would go unnoticed.
            second = array * np.asarray(0.5, array.dtype) if array.dtype.kind == "f" else array
            return np.concatenate([array, second])
        raise UserError(
            "the inputs are not valid",
            rule="an array, a shape with the batch axis, a FeatureSpec, or a list or dict of these",
            received=repr(item)[:80],
            fix="inputs=(2, 16, 24, 8)",
        )

    return make(spec)


def image_sides(largest: int) -> tuple[int, int]:
    """Return (height, width) of test images in pixels: multiples of a stride, not square.

    Args:
        largest: Largest stride of the feature maps.
    """
    return max(64, largest), max(64, largest) + max(32, largest)


def batch_of(spec: Any) -> int:
    """Return the batch size of the arrays among the inputs, or `BATCH` if all are shapes.

    Arrays that are created for the remaining shapes must have the same batch size.
    """
    if isinstance(spec, Mapping) and not isinstance(spec, FeatureSpec):
        spec = list(spec.values())
    if isinstance(spec, (tuple, list)) and not is_shape(spec):
        sizes = [batch_of(item) for item in spec if not is_shape(item)]
        return next((size for size in sizes if size != BATCH), BATCH)
    if isinstance(spec, Shaped) and len(spec.shape):
        return max(int(spec.shape[0]), 2)
    return BATCH


def leaves(tree: Any) -> list[Any]:
    """Flatten a nested structure, mappings in the order of their sorted keys."""
    return list(keras.tree.flatten(by_key(tree)))


def packed(structure: Any, flat: list[Any]) -> Any:
    """Nest a list in the order of `leaves` as in `structure`."""
    return keras.tree.pack_sequence_as(by_key(structure), flat)


def by_key(tree: Any) -> Any:
    """Sort the keys of all mappings: on PyTorch, Keras sorts only those of the outermost one."""
    if isinstance(tree, Mapping):
        return {key: by_key(tree[key]) for key in sorted(tree)}
    return type(tree)(map(by_key, tree)) if type(tree) in (list, tuple) else tree


def numpy_leaves(tree: Any) -> list[np.ndarray]:
    """Flatten a nested structure to NumPy arrays, with bfloat16 and float16 cast to float32."""
    return [_numpy(leaf) for leaf in leaves(tree)]


def _numpy(leaf: Any) -> np.ndarray:
    if keras.backend.standardize_dtype(leaf.dtype) in ("bfloat16", "float16"):
        leaf = keras.ops.cast(leaf, "float32")
    return np.asarray(keras.ops.convert_to_numpy(leaf))


def difference(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Return the maximum difference relative to the largest absolute value of each array.

    NaN in the same places counts as equal.

    Args:
        ones: Expected arrays; their values define the scale.
        others: Arrays to compare with them.

    Returns:
        Largest relative difference over all arrays. Infinity if the number of arrays, a shape, or
        the position of a NaN differs.
    """
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
    """Format the shapes of the leaves for messages."""
    return ", ".join(str(tuple(leaf.shape)) for leaf in leaves(tree))


def is_float(leaf: Any) -> bool:
    """Return whether an array or tensor has a floating-point dtype."""
    return "float" in keras.backend.standardize_dtype(leaf.dtype)


def inputs_of(model: Any) -> Any:
    """Return the symbolic inputs of a functional model, nested as the model takes them.

    Targets, which are optional, are left out.
    """
    if isinstance(model, keras.Sequential):  # has no `input` before its first call
        return model.inputs[0]
    found = model.input
    if isinstance(model, WithTargets) and isinstance(found, Mapping):
        return {name: x for name, x in found.items() if not name.startswith(PREFIX)}
    return found
