"""Concatenation of weights to one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import ops

from visiongarden.types import Tensor


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return the elements of all tensors in order, (n,)."""
    return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])


def split(vector: Tensor, variables: Sequence[keras.Variable]) -> list[Tensor]:
    """Return the parts of a vector (n,) in the shapes of the variables; the reverse of `flat`."""
    sizes = [math.prod(variable.shape) for variable in variables]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    parts = ops.split(vector, ends) if ends else [vector]
    return [ops.reshape(part, tuple(v.shape)) for part, v in zip(parts, variables, strict=True)]
