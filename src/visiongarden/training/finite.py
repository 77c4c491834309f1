"""`not_finite`: detect divergence before anything is saved.

A checkpoint with an infinite or NaN value could not be resumed: every later step would be NaN too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import keras
import numpy as np

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def not_finite(
    loss: float, variables: Iterable[tuple[str, keras.Variable]], compute_dtype: str = "float32"
) -> str | None:
    """Return what became infinite, NaN or too large for the next step, or None.

    The loss of a step is computed before its update, so an update that overflows in an epoch's last
    step shows in the weights alone: as infinity, or as a number whose square (in a norm, or in the
    variance of the next layer's input) or whose cast to float16 overflows in the next step.

    Args:
        loss: Mean loss of the epoch.
        variables: Name ("model/..." for weights) and variable.
        compute_dtype: Dtype that the model computes in.
    """
    if not math.isfinite(loss):
        return f"the loss became {loss}"
    for name, variable in variables:
        is_weight = name.startswith("model/") and variable.trainable
        array = keras.ops.convert_to_numpy(variable.value)
        problem = not_finite_array(array, compute_dtype if is_weight else None)
        if problem:
            return f"{name} became {problem}"
    return None


def not_finite_array(array: np.ndarray, compute_dtype: str | None = None) -> str | None:
    """Return what an array became: infinite, NaN or too large for the next step; or None.

    Args:
        array: Values of a variable.
        compute_dtype: Dtype in which a weight is used; None: the variable is not a weight.
    """
    if array.dtype.kind not in "iufb":  # bfloat16 is a dtype of ml_dtypes, of kind "V"
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        return "infinite or NaN"
    if compute_dtype is None:
        return None
    max_value = _FLOAT16_MAX if compute_dtype == "float16" else math.sqrt(_FLOAT32_MAX)
    largest = float(np.abs(array).max(initial=0))
    return f"{largest:.1g}, which overflows in the next step" if largest > max_value else None
