"""Random numbers of a `keras.random.SeedGenerator`, also in captured steps.

**Why.** On PyTorch, the random operations of Keras read the state of the generator as a number, and
a function that reads a tensor's value is never captured (`captured`). Every training step with such
an operation would run eagerly.

**How.** On PyTorch, a custom operation takes the state and samples, so that captured graphs can
contain it; an ordinary operation advances the state. The numbers are those of Keras. Other backends
call Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras

from visiongarden.types import Tensor


def uniform(shape: Sequence[int], generator: keras.random.SeedGenerator) -> Tensor:
    """Return random numbers from 0 to below 1, as `keras.random.uniform`.

    Args:
        shape: shape of the tensor.
        generator: generator, whose state is advanced.
    """
    if keras.backend.backend() == "torch":
        return _operation()(generator.next(), list(shape))
    return keras.random.uniform(shape, dtype="float32", seed=generator)


@functools.cache
def _operation() -> Any:
    """Return the operation of PyTorch."""
    import torch

    def run(state: Any, shape: list[int]) -> Any:
        # Keras adds the two numbers of a state, and makes (seed, 0) of a seed.
        seed = int(state.sum()) & 0xFFFFFFFF
        return keras.random.uniform(shape, dtype="float32", seed=seed)

    operation = torch.library.custom_op(
        "visiongarden::seeded_uniform",
        run,
        mutates_args=(),
        schema="(Tensor state, SymInt[] shape) -> Tensor",
    )
    operation.register_fake(lambda state, shape: state.new_empty(shape, dtype=torch.float32))
    return operation
