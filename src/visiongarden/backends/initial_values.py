"""`quick_samples`: random initial values on JAX, without one compilation for each shape.

**Why.** JAX compiles its random functions for every shape that it meets, and a model has dozens of
shapes. Its generator counts elements, so a longer sample starts with the numbers of a shorter one:
a few lengths serve all shapes, and every value is bit-exact. **Gain:** a detector of YOLOv8n's size
is built with 8 compilations instead of 37. **Switch:** `initial_values`. Off with an untested
version of Keras or JAX.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from visiongarden.backends.compilation_cache import use_compilation_cache
from visiongarden.backends.random_state import random_operations
from visiongarden.backends.switches import is_on
from visiongarden.backends.weightless import is_weightless

_NAMES = ("uniform", "normal", "truncated_normal")
"""Random operations that Keras's initializers use, except for orthogonal ones."""

_FIRST, _LAST_STEP_OF_8 = 9, 18
"""Exponents of the shortest sample, and of the last one before the steps become smaller."""

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quick_samples() -> Iterator[None]:
    """Sample initial values without one compilation for each shape inside this context.

    The values are those that Keras samples outside of it.
    """
    if not _applies():
        yield
        return
    use_compilation_cache()
    operations = random_operations()
    # Threads replace the functions one after the other, or the first would restore them for all.
    with _ONE_AT_A_TIME:
        originals = {name: vars(operations)[name] for name in _NAMES}
        for name, original in originals.items():
            setattr(operations, name, _start_of_longer_sample(original))
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(operations, name, original)


def _applies() -> bool:
    # Without values, nothing is sampled.
    if keras.backend.backend() != "jax" or is_weightless() or not is_on("initial_values"):
        return False
    import jax

    # With other generators a longer sample has other numbers.
    threefry = jax.config.jax_default_prng_impl == "threefry2x32"
    return bool(threefry and jax.config.jax_threefry_partitionable)


def _start_of_longer_sample(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a random operation that samples one of few lengths, and returns the start of it."""
    import jax

    @functools.wraps(original)
    def sample(shape: Any, *args: Any, **kwargs: Any) -> Any:
        count = math.prod(shape)
        sampled = original((sample_length(count),), *args, **kwargs)
        if isinstance(sampled, jax.core.Tracer):
            return sampled[:count].reshape(shape)
        # In NumPy, since JAX would compile a slice for every shape as well.
        return jax.numpy.asarray(np.asarray(sampled)[:count].reshape(shape))

    return sample


def sample_length(count: int) -> int:
    """Return the number of elements to sample for a shape with `count` elements.

    Up to 2**18 elements, where sampling takes less time than a compilation, each length is 8 times
    the one before; from there it is twice as long, which limits the memory.

    Example:
        >>> sample_length(500), sample_length(513), sample_length(2**18 + 1)
        (512, 4096, 524288)
    """
    exponent = max(count - 1, 0).bit_length()
    if exponent > _LAST_STEP_OF_8:
        return 2**exponent
    return 2 ** (_FIRST + 3 * max(-(-(exponent - _FIRST) // 3), 0))
