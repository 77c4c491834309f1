"""`AveragingOptimizer`: a moving average of the weights beside any optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from visiongarden.backends.distribution import summed
from visiongarden.backends.replicas import summed_gradients
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.training.vector_optimizers import VectorOptimizer
from visiongarden.training.vectors import flat, split
from visiongarden.types import Tensor


@register
class AveragingOptimizer(keras.optimizers.Optimizer):
    """Optimizer that updates with another one, and averages the weights after each update.

    The decay of the average at update n is min(decay, (1 + n) / (10 + n)), so that the random
    initial weights fade quickly. The averages of Keras's own optimizers (`use_ema`) have no such
    start, and replace the weights at the end of `fit`; a run that continues afterwards would go on
    from the average. Here the weights stay as they are, and `averaged` returns the average.

    Args:
        optimizer: Optimizer that updates the weights.
        decay: Maximum decay of the average; None keeps no average beside that of `optimizer`.
        rows: Number of sums of gradients over several batches, see `collect`; 0: each batch updates
            the weights.
        name: Name of the optimizer.

    Attributes:
        is_due: Whether the current step updates the weights; where gradients are accumulated,
            `UpdateSteps` sets it before each step.
    """

    _weights: list[keras.Variable]

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        decay: float | None = None,
        rows: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, name=name or "averaging")
        self.optimizer, self.decay, self.rows = optimizer, decay, rows
        self.is_due = True
        if rows and isinstance(optimizer, VectorOptimizer):
            optimizer.adds_replicas = False
        self._factors: Mapping[int, float] = {}

    def set_factors(self, factors: Mapping[int, float], late: Iterable[int] = ()) -> None:
        """Set factors of the learning rate, before the optimizer is built.

        Args:
            factors: Factor by the `id` of the weight; 1 for all others.
            late: `id` of the weights that are trained from a later step than the others on.
        """
        if isinstance(self.optimizer, VectorOptimizer):
            self.optimizer.set_factors(factors, late)
        else:
            self._factors = {key: factor for key, factor in factors.items() if factor != 1}

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables of both optimizers."""
        return [*super().variables, *self.optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the optimizer that updates the weights."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        """Number of updates so far."""
        return self.optimizer.iterations

    @property
    def batches(self) -> int:
        """Number of batches so far; several make one update where gradients are accumulated."""
        return int(ops.convert_to_numpy(super().iterations))

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the variables of both optimizers."""
        if self.built:
            return
        if not self.optimizer.built:
            self.optimizer.build(variables)
        super().build(variables)
        # Keras would track the list, and save the weights among the variables of the optimizer.
        object.__setattr__(self, "_weights", list(variables))
        size = sum(math.prod(variable.shape) for variable in variables)
        if self.decay is not None:
            self._average = self.add_variable((size,), dtype=wide(), name="average")
        # Empty whenever a checkpoint is written, see `UpdateSteps`.
        self._sums = [
            self.add_variable((size,), dtype=wide(), name=f"gradients_{row}")
            for row in range(self.rows)
        ]
        if self.rows:
            self._counts = self.add_variable((self.rows,), dtype=wide(), name="counts")

    def apply(
        self,
        grads: list[Tensor | None],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> None:
        """Update the weights and their average with one step.

        Args:
            grads: Gradient of each weight, of its shape.
            trainable_variables: Weights, needed only if the optimizer is not built.
        """
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        before = ops.cast(self.iterations, wide())
        slow = [v for v in self._weights if id(v) in self._factors]
        # On PyTorch, `assign` writes into the tensor that `value` returns.
        old = [ops.copy(variable.value) for variable in slow]
        if not isinstance(self.optimizer, VectorOptimizer):  # which adds its vectors
            grads = summed_gradients(self.optimizer, grads, are_added=self.rows > 0)
        self.optimizer.apply(grads, trainable_variables)
        for variable, value in zip(slow, old, strict=True):
            variable.assign(self._shortened(variable, value, variable.value))
        self._count(before, [variable.value for variable in self._weights])

    def stateless_apply(
        self,
        optimizer_variables: list[Tensor],
        grads: list[Tensor],
        trainable_variables: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights and variables after one step, without changing any (JAX)."""
        own = super().variables
        state = list(zip(self.variables, optimizer_variables, strict=True))
        with keras.StatelessScope(state_mapping=state):
            before = ops.cast(self.iterations, wide())
        # Not through `apply`: with float16 the other optimizer branches, in its own stateless way.
        weights, inner = self.optimizer.stateless_apply(
            optimizer_variables[len(own) :], grads, trainable_variables
        )
        weights = [
            self._shortened(variable, old, new) if id(variable) in self._factors else new
            for variable, old, new in zip(self._weights, trainable_variables, weights, strict=True)
        ]
        state = list(zip(self.variables, [*optimizer_variables[: len(own)], *inner], strict=True))
        with keras.StatelessScope(state_mapping=state) as scope:
            self._count(before, weights)
        return weights, [*(scope.get_current_value(each) for each in own), *inner]

    def collect(
        self, gradients: Mapping[int, Sequence[Tensor | None]], counts: Mapping[int, Tensor]
    ) -> None:
        """Add the gradients of a batch to the sums, on each replica those of its images.

        Args:
            gradients: Gradient of each weight of a part of the loss, by the row of the part; None
                counts as 0.
            counts: Count by which the part is divided, by its row.
        """
        for row, found in gradients.items():
            pairs = zip(found, self._weights, strict=True)
            vector = flat(
                [ops.zeros(v.shape, wide()) if g is None else ops.cast(g, wide()) for g, v in pairs]
            )
            self._sums[row].assign(self._sums[row].value + vector)
        zero = ops.zeros((), wide())
        added = [ops.cast(counts.get(row, zero), wide()) for row in range(self.rows)]
        self._counts.assign(self._counts.value + ops.stack(added))
        if not self.is_due:  # `apply` counts the batch otherwise
            super().iterations.assign_add(1)

    def combined(self) -> list[Tensor]:
        """Return the gradient of each weight, of all batches and replicas, and empty the sums.

        Each part of the loss is divided by its count in all of them, or by 1 if that is smaller.
        """
        *sums, counts = summed([*(each.value for each in self._sums), self._counts.value])
        divisors = ops.maximum(counts, 1.0)
        total: Any = sum(vector / divisors[row] for row, vector in enumerate(sums))
        for variable in (*self._sums, self._counts):
            variable.assign(ops.zeros_like(variable.value))
        return split(total, self._weights)

    def continue_from(self, other: AveragingOptimizer) -> None:
        """Take over the state of an optimizer that trained some of the weights until now.

        Both must be built, with the same arguments. The other weights start without moments, and
        the average of their values is the value itself.

        Args:
            other: The optimizer of the steps so far.
        """
        states: dict[tuple[str, Any], list[keras.Variable]] = {}
        for variable in other.variables:
            states.setdefault((variable.name, tuple(variable.shape)), []).append(variable)
        known = {id(variable) for variable in other._weights}
        # Keras's own average (`use_ema`) of a weight starts at 0, as that of a new run.
        starts = {
            f"{variable.path.replace('/', '_')}_average": variable.value
            for variable in self._weights
            if id(variable) not in known
        }
        for variable in self.variables:
            # Slots are named by their weight; names that occur twice, such as "iteration", are in
            # the same order on both sides.
            found = states.get((variable.name, tuple(variable.shape)))
            if found:
                variable.assign(found.pop(0).value)
            elif variable.name in starts:
                variable.assign(starts[variable.name])
        if self.decay is not None:
            averages = dict(zip(map(id, other._weights), other.averaged(), strict=True))
            values = [averages.get(id(v), v.value) for v in self._weights]
            self._average.assign(flat([ops.cast(value, wide()) for value in values]))
        if isinstance(self.optimizer, VectorOptimizer):
            self.optimizer.start_late()

    def averaged(self) -> list[Tensor]:
        """Return the average of each weight, that of the other optimizer, or the weights."""
        variables = self._weights
        if self.decay is not None:
            return split(self._average.value, variables)
        raw = [ops.copy(variable.value) for variable in variables]
        self.optimizer.finalize_variable_values(variables)
        found = [ops.copy(variable.value) for variable in variables]
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)
        return found

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the loss times the loss scale of the other optimizer."""
        return self.optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Leave the weights as they are; Keras's `fit` calls this at its end."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        inner = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": inner, "decay": self.decay, "rows": self.rows, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AveragingOptimizer:
        """Return the optimizer of a config."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**config | {"optimizer": inner})

    def _shortened(self, variable: keras.Variable, old: Tensor, new: Tensor) -> Tensor:
        """Return a weight after an update whose length is multiplied by the weight's factor.

        The updates of Keras's optimizers are proportional to the learning rate, which is one for
        all weights.
        """
        value = old + self._factors[id(variable)] * (new - old)
        return value if variable.constraint is None else variable.constraint(value)

    def _count(self, before: Tensor, weights: list[Tensor]) -> None:
        """Count a batch, and update the average if the batch updated the weights.

        Args:
            before: Number of updates before this one, float32.
            weights: The updated weights.
        """
        super().iterations.assign_add(1)
        if self.decay is None:
            return
        vector, average = flat([ops.cast(w, wide()) for w in weights]), self._average.value
        decay = ops.minimum(self.decay, (1.0 + before) / (10.0 + before))
        # The vector starts at 0, not at the weights; the first step replaces it.
        decay = ops.where(before < 1, 0.0, decay)
        moved = vector + decay * (average - vector)
        updated = ops.cast(self.iterations, wide()) > before
        self._average.assign(
            moved if self._always_updates() else ops.where(updated, moved, average)
        )

    def _always_updates(self) -> bool:
        is_scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        return not (is_scaled or self.optimizer.gradient_accumulation_steps)
