"""Dtype policies inside a context, reading variables in their own dtype, and float64.

**Why.** Keras has a setter for the global policy but no context, no public way to read a variable
exactly while a mixed-precision layer runs, and makes every float64 result float32 on JAX and
PyTorch. **Gain:** correctness: moving statistics would be written back rounded to float16 or
bfloat16; and training on several devices can be compared with one device to 1e-9. **Switch:** none;
an untested version of Keras is checked first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from visiongarden.backends.assumptions import require


@contextmanager
def dtype_policy(policy: str | None) -> Iterator[None]:
    """Create layers with a dtype policy inside this context; None keeps the current one.

    On leaving, the previous policy is restored, also if it was changed inside.
    """
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy or before)
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def without_autocast() -> Iterator[None]:
    """Read variables in their own dtype inside this context, also in a mixed-precision layer."""
    require("autocast")
    from keras.src.backend.common.variables import AutocastScope

    with AutocastScope(None):
        yield


def compute_in_float64() -> None:
    """Compute everything in float64 from now on; before any model or tensor is made.

    Sums over devices round in another order, and in float32 the difference grows from step to step
    to a percent. In float64 an error of the division among devices differs from rounding.
    """
    require("float64")
    from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
