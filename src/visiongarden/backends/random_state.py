"""Random states of a process: seeding a run, and reading and restoring what a step advances.

**Why.** `keras.utils.set_random_seed` imports TensorFlow if it is installed, and dropout without a
seed samples from PyTorch's own generators, which Keras does not save. **Gain:** on PyTorch and JAX,
3 s and 400 MiB less at the start of a run; correctness of resumed runs. **Switch:** `seeds`; then
Keras's function seeds a run. Off with an untested version of Keras.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from visiongarden.backends.assumptions import require
from visiongarden.backends.switches import is_on


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, Keras and the backend, without importing TensorFlow for it.

    Args:
        seed: 0 to 2**32 - 1.
    """
    loaded = "tensorflow" in sys.modules or keras.backend.backend() == "tensorflow"
    if loaded or not is_on("seeds"):
        keras.utils.set_random_seed(seed)
        return
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

    # The global generator of Keras is created from the seed when it is used next.
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
    random.seed(seed)
    np.random.seed(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def global_seed_state() -> keras.Variable:
    """Return the state of Keras's global seed generator, which is created if necessary."""
    require("global_seed")
    from keras.src.random import seed_generator

    return seed_generator.global_seed_generator().state


def random_operations() -> Any:
    """Return the module of random operations of the backend, all of which call its `draw_seed`."""
    require("global_seed")
    from keras.src import backend

    return backend.random


def forked() -> AbstractContextManager[Any]:
    """Restore PyTorch's random state at the end of a context; nothing on other backends."""
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    fork: AbstractContextManager[Any] = torch.random.fork_rng()
    return fork


def rng_states(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the RNG states of PyTorch, which dropout without a seed samples from.

    The dict is empty on other backends, where every layer keeps its own seed.
    """
    return {name: generator.get_rng_state().numpy() for name, generator in _generators(model)}


def restore_rng_states(model: keras.Model, states: dict[str, np.ndarray]) -> None:
    """Restore the RNG states of PyTorch that `rng_states` returned.

    Raises:
        ValueError: A state is not a valid RNG state.
    """
    for name, generator in _generators(model):
        if name in states:  # missing if the run used another backend or device before
            _set(generator, name, states[name])


def _set(generator: Any, name: str, state: np.ndarray) -> None:
    import torch

    if state.dtype != np.uint8 or state.ndim != 1:
        raise ValueError(f"array {name} is not one-dimensional uint8")
    try:
        # PyTorch checks size and content before it changes the generator.
        generator.set_rng_state(torch.tensor(state))
    except RuntimeError as error:
        raise ValueError(f"array {name} is not a valid PyTorch RNG state") from error


def _generators(model: keras.Model) -> Iterator[tuple[str, Any]]:
    if keras.backend.backend() != "torch":
        return
    import torch

    yield "generator/cpu", torch
    for device in {weight.value.device.type for weight in model.weights} - {"cpu"}:
        yield f"generator/{device}", torch.get_device_module(device)
