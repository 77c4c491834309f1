"""`AveragingOptimizer`: a moving average of the weights beside any optimizer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.registry import register
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
        name: Name of the optimizer.
    """

    _weights: list[keras.Variable]

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        decay: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, name=name or "averaging")
        self.optimizer, self.decay = optimizer, decay

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
        if self.decay is not None:
            size = int(flat([variable.value for variable in variables]).shape[0])
            self._average = self.add_variable((size,), dtype="float32", name="average")

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
        before = ops.cast(self.iterations, "float32")
        self.optimizer.apply(grads, trainable_variables)
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
            before = ops.cast(self.iterations, "float32")
        # Not through `apply`: with float16 the other optimizer branches, in its own stateless way.
        weights, inner = self.optimizer.stateless_apply(
            optimizer_variables[len(own) :], grads, trainable_variables
        )
        state = list(zip(self.variables, [*optimizer_variables[: len(own)], *inner], strict=True))
        with keras.StatelessScope(state_mapping=state) as scope:
            self._count(before, weights)
        return weights, [*(scope.get_current_value(each) for each in own), *inner]

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
        return {"optimizer": inner, "decay": self.decay, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AveragingOptimizer:
        """Return the optimizer of a config."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**config | {"optimizer": inner})

    def _count(self, before: Tensor, weights: list[Tensor]) -> None:
        """Count a batch, and update the average if the batch updated the weights.

        Args:
            before: Number of updates before this one, float32.
            weights: The updated weights.
        """
        super().iterations.assign_add(1)
        if self.decay is None:
            return
        vector, average = flat([ops.cast(w, "float32") for w in weights]), self._average.value
        decay = ops.minimum(self.decay, (1.0 + before) / (10.0 + before))
        # The vector starts at 0, not at the weights; the first step replaces it.
        decay = ops.where(before < 1, 0.0, decay)
        moved = vector + decay * (average - vector)
        updated = ops.cast(self.iterations, "float32") > before
        self._average.assign(
            moved if self._always_updates() else ops.where(updated, moved, average)
        )

    def _always_updates(self) -> bool:
        is_scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        return not (is_scaled or self.optimizer.gradient_accumulation_steps)
