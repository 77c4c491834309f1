"""Optimisers: AdamW and SGD with warm-up, cosine and a moving average of the weights."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from visiongarden.registry import register
from visiongarden.training.settings import Training


@register
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise from near 0, then half a cosine (Loshchilov & Hutter 2017, equation 5).

    Args:
        peak: highest learning rate.
        steps: length of the whole schedule.
        warmup: steps of the rise.
        final: share of `peak` at the end.
    """

    def __init__(self, peak: float, steps: int, warmup: int = 0, final: float = 0.01) -> None:
        self.peak, self.steps, self.warmup, self.final = peak, steps, warmup, final

    def __call__(self, step: Any) -> Any:
        """Learning rate at a step, from 0."""
        step = ops.cast(step, "float32")
        rise = (step + 1) / max(self.warmup, 1)
        progress = ops.clip((step - self.warmup) / max(self.steps - self.warmup, 1), 0.0, 1.0)
        fall = self.final + (1 - self.final) * 0.5 * (1 + ops.cos(math.pi * progress))
        return self.peak * ops.where(step < self.warmup, rise, fall)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {n: getattr(self, n) for n in ("peak", "steps", "warmup", "final")}


class _Averaging:
    """Lets the moving average start quickly, and leaves the raw weights in the model at the end.

    The share kept is min(most, (1 + step) / (10 + step)), so that the average of a young model is
    not held back by its random start.
    """

    iterations: Any

    @property
    def ema_momentum(self) -> Any:
        if self._most is None or not hasattr(self, "_iterations"):
            return self._most
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._most, (1.0 + step) / (10.0 + step))

    @ema_momentum.setter
    def ema_momentum(self, most: float | None) -> None:
        self._most = most

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"ema_momentum": self._most}  # type: ignore[misc]

    def finalize_variable_values(self, variables: Any) -> None:
        """Keras would put the averages into the model here; a run that is resumed needs both."""


@register(name="AveragingAdamW")
class AdamW(_Averaging, keras.optimizers.AdamW):
    """AdamW whose moving average of the weights ramps up."""


@register(name="AveragingSGD")
class SGD(_Averaging, keras.optimizers.SGD):
    """SGD whose moving average of the weights ramps up."""


def make_optimizer(
    settings: Training, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The optimiser of the settings; weights of rank 0 and 1 are left out of the decay."""
    warmup = min(settings.warmup_epochs, settings.epochs / 4) * steps_per_epoch
    common = {
        "learning_rate": WarmupCosine(
            settings.learning_rate,
            settings.epochs * steps_per_epoch,
            int(warmup),
            settings.final_learning_rate,
        ),
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm,
        "use_ema": settings.average is not None,
        "ema_momentum": settings.average if settings.average is not None else 0.0,
    }
    optimizer: Any
    if settings.optimizer == "adamw":
        optimizer = AdamW(beta_2=0.999, **common)
    else:
        optimizer = SGD(momentum=0.937, nesterov=True, **common)
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(
            var_list=[w for w in model.trainable_variables if len(w.shape) < 2]
        )
    return optimizer


def averaged_weights(optimizer: Any, trainable: list[Any]) -> list[Any]:
    """The moving average of each trainable weight, or the weight itself where there is none."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema or not inner.built:
        return [weight.value for weight in trainable]
    return [average.value for average in inner._model_variables_moving_average]
