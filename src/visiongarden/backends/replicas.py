"""What the replicas of a training step have in common: statistics, and random numbers apart.

**Why.** Each replica updates statistics from its own rows, and a file contains those of one
replica. Replicas that start from the same seed would drop the same units. **Gain:** correctness.
**Switch:** none; with one replica nothing happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from visiongarden.backends.distribution import replicas, summed
from visiongarden.backends.engine import engine

_STRIDE = 1_000_003
"""Distance of the seeds of two replicas."""


@contextlib.contextmanager
def of_all_replicas(model: keras.Model) -> Iterator[None]:
    """Run a training step on a replica: with separate seeds, and common statistics afterwards.

    Args:
        model: The model.
    """
    if replicas() == 1:
        yield
        return
    seeds = _seeds(model)
    offset = ops.cast(engine().replica() * _STRIDE, "int64")
    moved = [ops.cast(ops.stack([offset, ops.zeros_like(offset)]), seed.dtype) for seed in seeds]
    for seed, distance in zip(seeds, moved, strict=True):
        seed.assign(seed.value + distance)
    yield
    for seed, distance in zip(seeds, moved, strict=True):
        seed.assign(seed.value - distance)
    _average_statistics(model)


def _seeds(model: keras.Model) -> list[keras.Variable]:
    weights = {id(variable) for variable in model.weights}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and tuple(variable.shape) == (2,)
    ]


def _average_statistics(model: keras.Model) -> None:
    """Assign the mean over the replicas to every statistic, such as moving means."""
    trained = {id(variable) for variable in model.trainable_variables}
    statistics = [
        variable
        for variable in model.weights
        # Weights of frozen layers have not changed.
        if id(variable) not in trained and _is_float(variable) and not variable.trainable
    ]
    count = replicas()
    sums = summed([variable.value for variable in statistics])
    for variable, total in zip(statistics, sums, strict=True):
        variable.assign(total / count)


def _is_float(variable: keras.Variable) -> bool:
    return "float" in keras.backend.standardize_dtype(variable.dtype)


def replicated_step(model: keras.Model) -> Callable[[Any], Any] | None:
    """Return the training step on all replicas of TensorFlow; None without replicas."""
    if keras.backend.backend() != "tensorflow" or replicas() == 1:
        return None
    from visiongarden.backends import tensorflow_replicas

    return tensorflow_replicas.replicated_step(model)


def summed_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[Any], are_added: bool = False
) -> list[Any]:
    """Return the sums of gradients over the replicas for one of Keras's optimizers.

    They are added before the optimizer clips them; Keras's own addition on TensorFlow comes after.

    Args:
        optimizer: The optimizer, which does not add them again.
        gradients: The gradients; None where the loss does not depend on the weight.
        are_added: Whether they are sums over the replicas already.
    """
    if replicas() == 1:
        return gradients
    if keras.backend.backend() == "tensorflow":
        from visiongarden.backends import tensorflow_replicas

        tensorflow_replicas.leave_gradients(optimizer)
    if are_added:
        return gradients
    rows = [i for i, gradient in enumerate(gradients) if gradient is not None]
    found = list(gradients)
    for i, total in zip(rows, summed([gradients[i] for i in rows]), strict=True):
        found[i] = total
    return found
