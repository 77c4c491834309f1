"""Dtype policies inside a context, and reading variables in their own dtype.

**Why.** Keras has a setter for the global policy but no context, and no public way to read a
variable exactly while a mixed-precision layer runs. **Gain:** correctness: moving statistics would
be written back rounded to float16 or bfloat16. **Switch:** none; an untested version of Keras is
checked first.
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
