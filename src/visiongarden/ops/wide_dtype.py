"""`wide`: the dtype in which losses, assigners and optimizers compute."""

from __future__ import annotations

import keras


def wide() -> str:
    """Return the dtype of losses, assigners and optimizers: float32, or float64 if that is floatx.

    Sums over a batch, coordinates in pixels and states of optimizers are not computed in float16 or
    bfloat16, whatever the dtype policy. With `keras.config.set_floatx("float64")` everything is
    float64, in which runs on different devices can be compared to the last digits.

    Example:
        >>> vg.ops.wide()
        'float32'
    """
    return "float64" if keras.config.floatx() == "float64" else "float32"
