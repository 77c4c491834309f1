"""Optimizers that update all weights as one vector: the fast defaults of training.

Keras's optimizers run some sixty small operations for each weight at each step. For a detector of
180 weights that is a third of the graph, in the time to trace it and in every step. As two vectors
(weights with and without weight decay), the training step of a YOLOv8n-size detector traces and
compiles in 10 s instead of 30 s on two cores. The price is that optimizer state cannot be sharded
by weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from visiongarden.backends.distribution import summed
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.training.vectors import flat, split
from visiongarden.types import Tensor


class Group(NamedTuple):
    """Weights that are updated alike, as one vector.

    Attributes:
        rows: Positions among the trained weights.
        decay: Weight decay.
        factor: Factor of the learning rate.
        is_late: Whether their steps are counted from a later one.
    """

    rows: list[int]
    decay: float
    factor: float = 1.0
    is_late: bool = False


class VectorOptimizer(keras.optimizers.Optimizer):
    """Base class of optimizers that update concatenated weights.

    Each step concatenates weights and gradients into vectors, updates them, and assigns the parts
    to the weights. The arguments are those of every optimizer of Keras, with two differences:
    weight decay applies to weights of rank 2 and higher only, not to biases and normalizations, and
    a gradient that does not exist counts as 0.

    Args:
        learning_rate: A number or a schedule.
        weight_decay: Decoupled weight decay: each step subtracts learning rate × weight decay ×
            weight.
        clipnorm: Maximum norm of the gradient of each weight.
        clipvalue: Maximum absolute value of an element of a gradient.
        global_clipnorm: Maximum norm of all gradients together.
        use_ema: Whether to keep an exponential moving average of the weights, which replaces them
            at the end of Keras's `fit`.
        ema_momentum: Decay of that average.
        ema_overwrite_frequency: Steps after which the average replaces the weights; None: only at
            the end of `fit`.
        loss_scale_factor: Factor of the loss, by which the gradients are divided.
        gradient_accumulation_steps: Steps whose gradients are averaged for one update.
        name: Name of the optimizer.

    Attributes:
        slots: Number of state vectors as long as the weights.
        adds_replicas: Whether gradients are added over the devices of a run here; not if they were
            before.
    """

    slots = 1
    adds_replicas = True
    use_ema: bool
    gradient_accumulation_steps: int | None
    _weights: list[keras.Variable]

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name or type(self).__name__.lower(),
        )
        self._excluded: tuple[set[int], tuple[str, ...]] = (set(), ())
        self._factors: Mapping[int, float] = {}
        self._late: frozenset[int] = frozenset()

    def set_factors(self, factors: Mapping[int, float], late: Iterable[int] = ()) -> None:
        """Set factors of the learning rate, before the optimizer is built.

        Args:
            factors: Factor by the `id` of the weight; 1 for all others.
            late: `id` of the weights that are trained from a later step than the others on; see
                `start_late`.
        """
        if self.built:
            raise ValueError("factors of the learning rate can be set only before `build`")
        self._factors, self._late = dict(factors), frozenset(late)

    def start_late(self) -> None:
        """Count the steps of the late weights from now on; their average starts at their value.

        The bias correction of the moments would otherwise be that of weights which have been
        trained from the beginning, and their first updates several times too large.
        """
        if self._start is not None:
            self._start.assign(ops.cast(self.iterations, wide()))
        averages = zip(self._groups, self._averages, strict=True) if self.use_ema else ()
        for group, average in averages:
            if group.is_late:
                variables = [self._weights[i] for i in group.rows]
                average.assign(flat([variable.value for variable in variables]))

    def exclude_from_weight_decay(
        self, var_list: Iterable[keras.Variable] | None = None, var_names: Iterable[str] = ()
    ) -> None:
        """Exclude weights from weight decay, before the optimizer is built.

        Args:
            var_list: The weights.
            var_names: Parts of their names.
        """
        if self.built:
            raise ValueError("weights can be excluded from weight decay only before `build`")
        self._excluded = ({id(v) for v in var_list or ()}, tuple(var_names or ()))

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the state vectors: one set for weights with decay, one for those without."""
        if self.built:
            return
        with_ema, steps = self.use_ema, self.gradient_accumulation_steps
        # The base class would create an average and a sum of gradients for each weight.
        self.use_ema, self.gradient_accumulation_steps = False, None
        super().build(variables)
        # Without the number of steps to accumulate, `iterations` is the variable that counts them.
        self._steps = self.iterations
        self.use_ema, self.gradient_accumulation_steps = with_ema, steps
        # Keras would track the list, and save the weights among the variables of the optimizer.
        object.__setattr__(self, "_weights", list(variables))
        self._groups = self._grouped(variables)
        self._states, self._averages, self._sums = [], [], []
        self._start = self.add_variable((), dtype=wide(), name="start") if self._late else None
        for number, group in enumerate(self._groups):
            size = sum(math.prod(variables[i].shape) for i in group.rows)
            self._states.append(
                [self._vector(size, f"slot{s}_{number}") for s in range(self.slots)]
            )
            if self.use_ema:
                self._averages.append(self._vector(size, f"average_{number}"))
            if self.gradient_accumulation_steps:
                self._sums.append(self._vector(size, f"gradients_{number}"))

    def _grouped(self, variables: list[keras.Variable]) -> list[Group]:
        """Return the groups of the weights that are updated alike."""
        rows: dict[tuple[bool, float, bool], list[int]] = {}
        for i, variable in enumerate(variables):
            factor = self._factors.get(id(variable), 1.0)
            key = (id(variable) in self._late, -factor, not self._decays(variable))
            rows.setdefault(key, []).append(i)
        # Late weights are in the last groups, so that the others keep the names of their state.
        return [
            Group(rows[key], 0.0 if key[2] else self.weight_decay or 0.0, -key[1], key[0])
            for key in sorted(rows)
        ]

    def apply(
        self,
        grads: list[Tensor | None],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> None:
        """Update the weights with one step.

        Args:
            grads: Gradient of each weight, of its shape; None counts as 0.
            trainable_variables: Weights, needed only if the optimizer is not built.
        """
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        variables = self._weights
        gradients = [
            ops.zeros_like(v) if g is None else ops.cast(g, wide())
            for g, v in zip(grads, variables, strict=True)
        ]
        if self.loss_scale_factor is not None:
            gradients = [gradient / self.loss_scale_factor for gradient in gradients]
        due, vectors = self._accumulated(
            [flat([gradients[i] for i in group.rows]) for group in self._groups]
        )
        vectors = self._clipped(summed(vectors) if self.adds_replicas else vectors)
        rate, step = ops.cast(self.learning_rate, wide()), ops.cast(self.iterations, wide())
        for number, (group, gradient) in enumerate(zip(self._groups, vectors, strict=True)):
            members, decay = [variables[i] for i in group.rows], group.decay
            weights = flat([variable.value for variable in members])
            own_step = (
                step if self._start is None or not group.is_late else step - self._start.value
            )
            update = self._update(gradient, self._states[number], own_step, due)
            own_rate = rate if group.factor == 1 else rate * group.factor
            moved = weights - own_rate * (update + decay * weights if decay else update)
            moved = moved if due is None else ops.where(due, moved, weights)
            if self.use_ema:
                moved = self._averaged(self._averages[number], moved)
            for variable, part in zip(members, split(moved, members), strict=True):
                constraint = variable.constraint
                variable.assign(part if constraint is None else constraint(part))
        self._steps.assign_add(1)

    def direction(self, gradient: Tensor, state: list[keras.Variable], step: Tensor) -> Tensor:
        """Return the update of a step at learning rate 1, which is subtracted; updates `state`.

        Args:
            gradient: (n,) float32.
            state: `slots` variables of shape (n,).
            step: float32 scalar, counted from 0.
        """
        raise NotImplementedError

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Replace the weights by their moving average, if one is kept; Keras's `fit` ends so."""
        if not self.use_ema:
            return
        for group, average in zip(self._groups, self._averages, strict=True):
            members = [var_list[i] for i in group.rows]
            for variable, part in zip(members, split(average.value, members), strict=True):
                variable.assign(part)

    def _decays(self, variable: keras.Variable) -> bool:
        weights, names = self._excluded
        excluded = id(variable) in weights or any(name in variable.name for name in names)
        return len(variable.shape) > 1 and not excluded

    def _accumulated(self, vectors: list[Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """Return whether this step updates the weights, None for always, and its gradients."""
        count = self.gradient_accumulation_steps
        if not count:
            return None, vectors
        due = ops.equal((self._steps + 1) % count, 0)
        sums = [vector + held.value for vector, held in zip(vectors, self._sums, strict=True)]
        for held, total in zip(self._sums, sums, strict=True):
            held.assign(ops.where(due, ops.zeros_like(total), total))
        return due, [total / count for total in sums]

    def _clipped(self, vectors: list[Tensor]) -> list[Tensor]:
        if self.clipvalue is not None:
            return [ops.clip(vector, -self.clipvalue, self.clipvalue) for vector in vectors]
        if self.clipnorm is not None:
            return [
                self._each_clipped(vector, group.rows)
                for vector, group in zip(vectors, self._groups, strict=True)
            ]
        if self.global_clipnorm is not None:
            norm = ops.sqrt(sum(ops.sum(vector * vector) for vector in vectors))
            return [vector * _factor(norm, self.global_clipnorm) for vector in vectors]
        return vectors

    def _each_clipped(self, vector: Tensor, rows: list[int]) -> Tensor:
        parts = split(vector, [self._weights[i] for i in rows])
        norms = [ops.sqrt(ops.sum(part * part)) for part in parts]
        return flat(
            [p * _factor(norm, self.clipnorm) for p, norm in zip(parts, norms, strict=True)]
        )

    def _update(
        self, gradient: Tensor, state: list[keras.Variable], step: Tensor, due: Tensor | None
    ) -> Tensor:
        """Return the direction; a step that only collects its gradient leaves `state` as it is."""
        if due is None:
            return self.direction(gradient, state, step)
        # On PyTorch, `assign` writes into the tensor that `value` returns.
        before = [ops.copy(variable.value) for variable in state]
        update = self.direction(gradient, state, step)
        for variable, old in zip(state, before, strict=True):
            variable.assign(ops.where(due, variable.value, old))
        return update

    def _averaged(self, average: keras.Variable, weights: Tensor) -> Tensor:
        """Update the average, and return the weights, or the average where it replaces them."""
        step, every = self.iterations, self.ema_overwrite_frequency
        # The average starts at 0, not at the weights; the first step replaces it.
        momentum = self.ema_momentum * ops.cast(ops.not_equal(step, 0), wide())
        value = momentum * average.value + (1 - momentum) * weights
        average.assign(value)
        return ops.where(ops.equal((step + 1) % every, 0), value, weights) if every else weights

    def _vector(self, size: int, name: str) -> keras.Variable:
        return self.add_variable((size,), dtype=wide(), name=name)


@register
class VectorAdamW(VectorOptimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).

    Args:
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the denominator to keep the quotient finite.
        **kwargs: Arguments of `VectorOptimizer`, which are those of every optimizer of Keras.

    Example:
        >>> optimizer = vg.training.VectorAdamW(learning_rate=0.001, weight_decay=0.05)
        >>> keras.optimizers.serialize(optimizer)["registered_name"]
        'visiongarden>VectorAdamW'
    """

    slots = 2

    def __init__(
        self, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def direction(self, gradient: Tensor, state: list[keras.Variable], step: Tensor) -> Tensor:
        """Return the first moment over the root of the second, both bias-corrected."""
        first, second = state
        first.assign(gradient + self.beta_1 * (first.value - gradient))
        squared = gradient * gradient
        second.assign(squared + self.beta_2 * (second.value - squared))
        correction_1 = 1 - ops.power(self.beta_1, step + 1)
        correction_2 = ops.sqrt(1 - ops.power(self.beta_2, step + 1))
        return first.value / (correction_1 * (ops.sqrt(second.value) / correction_2 + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return super().get_config() | config


@register
class VectorSGD(VectorOptimizer):
    """Gradient descent with Nesterov momentum (Sutskever et al. 2013) and decoupled weight decay.

    Args:
        momentum: Decay of the velocity.
        **kwargs: Arguments of `VectorOptimizer`, which are those of every optimizer of Keras.

    Example:
        >>> vg.training.VectorSGD(learning_rate=0.01, momentum=0.9).get_config()["momentum"]
        0.9
    """

    def __init__(self, momentum: float = 0.937, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def direction(self, gradient: Tensor, state: list[keras.Variable], step: Tensor) -> Tensor:
        """Return the gradient plus momentum times the updated velocity."""
        (velocity,) = state
        velocity.assign(self.momentum * velocity.value + gradient)
        return gradient + self.momentum * velocity.value

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return super().get_config() | {"momentum": self.momentum}


def _factor(norm: Tensor, limit: float | None) -> Tensor:
    """Return what shortens a vector of a norm to the limit."""
    # 1 where the norm is below the limit; never a division by 0.
    return limit / ops.maximum(norm, limit)
