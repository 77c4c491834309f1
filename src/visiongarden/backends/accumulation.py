"""Training steps that collect the gradients of several batches for one update of the weights.

**Why.** Keras's `gradient_accumulation_steps` averages the gradients of the loss of each batch. A
loss is a sum divided by a count, such as that of the objects of the batch, and the mean of such
quotients is not the loss of all batches. Here the sums are differentiated, one for each count, and
divided by the counts of all batches and replicas when the weights are updated. **Gain:**
correctness; and one message between the replicas for an update, except on JAX, where the compiler
adds the gradients of the devices in every step. **Switch:** none; `training.accumulate_steps`
asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import keras

from visiongarden.backends.distribution import summed
from visiongarden.types import Tensor


class Part(NamedTuple):
    """A part of the loss of a batch, before it is divided by its count.

    Attributes:
        row: Number of the sum of gradients to which it belongs.
        total: Scalar.
        count: Scalar, the divisor after summation.
    """

    row: int
    total: Tensor
    count: Tensor  # type: ignore[assignment]  # shadows tuple.count, which is not used here


@runtime_checkable
class Accumulator(Protocol):
    """An optimizer that sums gradients over batches.

    Attributes:
        is_due: Whether the current step updates the weights. It is not a tensor: a step that
            collects and one that updates are separate functions, so that a step that collects has
            neither an update nor a message between replicas.
        rows: Number of sums of gradients, one for each count; 0 if every batch updates the weights.
    """

    is_due: bool
    rows: int

    def collect(self, gradients: Mapping[int, Sequence[Any]], counts: Mapping[int, Any]) -> None:
        """Add the gradients and the count of each row to the sums."""

    def combined(self) -> list[Tensor]:
        """Return the gradient of each weight over all batches, and begin again."""


def accumulator_of(optimizer: Any) -> Accumulator | None:
    """Return the optimizer of a run that accumulates gradients; None if it does not."""
    # With float16 Keras wraps the optimizer in a `LossScaleOptimizer`.
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    found = optimizer.inner_optimizer if is_scaled else optimizer
    return found if isinstance(found, Accumulator) and found.rows > 0 else None


def steps_by_kind(
    accumulator: Accumulator, make: Callable[[], Callable[..., Any]]
) -> Callable[..., Any]:
    """Return a step that is one of two functions: one that collects, and one that updates.

    Args:
        accumulator: States which of them is next.
        make: Makes a function, which is traced at its first call.
    """
    steps = {is_due: make() for is_due in (False, True)}
    return lambda *args: steps[accumulator.is_due](*args)


def step_with_parts(model: Any, accumulator: Accumulator | None, *args: Any) -> Any:
    """Run a training step on TensorFlow or JAX whose loss has parts, of batches or of replicas.

    Args:
        model: The model.
        accumulator: Sums the gradients of several batches; None if every batch updates the weights,
            on the replicas of TensorFlow.
        *args: The arguments of Keras's `train_step`.
    """
    if accumulator is not None and keras.backend.backend() == "jax":
        return _of_jax(model, accumulator, *args)
    return _of_tensorflow(model, accumulator, *args)


def update(
    model: Any, accumulator: Accumulator, parts: Sequence[Part], gradients: Sequence[Any]
) -> None:
    """Add the gradients of the parts to the sums, and update the weights if that is due."""
    _collect(accumulator, parts, gradients)
    if accumulator.is_due:
        model.optimizer.apply(accumulator.combined(), model.trainable_variables)


def log(model: Any, images: Any, targets: Any, raw: Any, total: Tensor, rows: Any) -> Any:
    """Add the loss of a batch to its mean, and return the means of all metrics."""
    # Keras weights each batch by its images, so that the mean is over images.
    loss = next(metric for metric in model.metrics if metric.name == "loss")
    loss.update_state(total, sample_weight=rows)
    return model.compute_metrics(images, targets, raw)


def _collect(accumulator: Accumulator, parts: Sequence[Part], gradients: Sequence[Any]) -> None:
    rows = [part.row for part in parts]
    accumulator.collect(
        dict(zip(rows, gradients, strict=True)),
        {part.row: part.count for part in parts},
    )


def _of_tensorflow(model: Any, accumulator: Accumulator | None, data: Any) -> Any:
    import tensorflow as tf

    images, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
    variables = model.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        raw = model(model.step_inputs(images, targets), training=True)
        total = model.compute_loss(images, targets, raw, None, training=True)
        parts = [] if accumulator is None else model.parts_of_loss(total)
        scaled = [model.optimizer.scale_loss(each) for each in [p.total for p in parts] or [total]]
    gradients = [tape.gradient(each, variables) for each in scaled]
    if accumulator is None:
        model.optimizer.apply(gradients[0], variables)
    else:
        update(model, accumulator, parts, gradients)
    # Keras's step would log the part of its replica, and leave the sum to the reading of the mean:
    # process 0 alone, which writes the checkpoints, could not read it.
    (logged,) = summed([tf.stop_gradient(total)])
    return log(model, images, targets, raw, logged, keras.ops.shape(images)[0])


def _of_jax(model: Any, accumulator: Accumulator, state: Any, data: Any) -> Any:
    import jax
    from jax import numpy as jnp

    trained, others, optimizer_state, metrics = state
    images, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
    optimizer_variables = model.optimizer.variables
    given = list(zip(optimizer_variables, optimizer_state, strict=True))

    def totals(values: Any) -> Any:
        _, (total, raw, changed, means) = model.compute_loss_and_updates(
            values, others, metrics, model.step_inputs(images, targets), targets, None,
            training=True, optimizer_variables=optimizer_state,
        )  # fmt: skip
        parts = model.parts_of_loss(total)
        with keras.StatelessScope(state_mapping=given):
            scaled = [model.optimizer.scale_loss(part.total) for part in parts]
        rows.extend(part.row for part in parts)
        return jnp.stack(scaled), (total, raw, changed, means, [part.count for part in parts])

    rows: list[int] = []
    values, pull_back, (total, raw, others, metrics, counts) = jax.vjp(
        totals, trained, has_aux=True
    )
    gradients = [pull_back(row)[0] for row in jnp.eye(len(rows), dtype=values.dtype)]
    parts = [
        Part(row, value, count) for row, value, count in zip(rows, values, counts, strict=True)
    ]
    with keras.StatelessScope(state_mapping=given) as scope:
        _collect(accumulator, parts, gradients)
        combined = accumulator.combined() if accumulator.is_due else None
    optimizer_state = [scope.get_current_value(variable) for variable in optimizer_variables]
    if combined is not None:
        trained, optimizer_state = model.optimizer.stateless_apply(
            optimizer_state, combined, trained
        )
    variables = model.metrics_variables
    with keras.StatelessScope(list(zip(variables, metrics, strict=True))) as scope:
        logs = log(model, images, targets, raw, total, images.shape[0])
    metrics = [scope.get_current_value(variable) for variable in variables]
    return logs, (trained, others, optimizer_state, metrics)
