"""`WarmupCosine`: the default learning-rate schedule of a run."""

from __future__ import annotations

import math
from typing import Any, Protocol, Self, runtime_checkable

import keras
from keras import ops

from visiongarden.errors import ConfigError
from visiongarden.registry import register
from visiongarden.types import Tensor


@runtime_checkable
class OfRun(Protocol):
    """A schedule that depends on the length of the run, which `fit` completes when it starts."""

    def for_run(self, epochs: int, steps_per_epoch: float) -> Any:
        """Return the schedule of a run of so many epochs and steps, that is updates of weights."""
        ...


@register
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from near 0, then half a cosine (Loshchilov & Hutter 2017, equation 5).

    Args:
        peak: Highest learning rate, reached at the end of the warm-up.
        warmup_epochs: Epochs of the warm-up; at most a quarter of the run.
        final_lr_fraction: Learning rate at the end, as a fraction of `peak`. With 1 and without a
            warm-up, the learning rate is constant.
        epochs: Epochs of the run; filled in by `fit`.
        steps_per_epoch: Updates of the weights in an epoch; filled in by `fit`. Not an integer if
            gradients are accumulated over a number of batches that does not divide an epoch's.

    Raises:
        ConfigError: An argument is outside its range; the schedule is called before `epochs` and
            `steps_per_epoch` are known.

    Example:
        >>> schedule = vg.training.WarmupCosine(0.1, warmup_epochs=1, epochs=4, steps_per_epoch=10)
        >>> [round(float(schedule(step)), 3) for step in (0, 9, 25, 40)]
        [0.01, 0.1, 0.05, 0.001]
    """

    def __init__(
        self,
        peak: float = 0.002,
        warmup_epochs: float = 3.0,
        final_lr_fraction: float = 0.01,
        epochs: int | None = None,
        steps_per_epoch: float | None = None,
    ) -> None:
        for name, value, valid, rule, example in (
            ("peak", peak, peak > 0, "greater than 0", 0.002),
            ("warmup_epochs", warmup_epochs, warmup_epochs >= 0, "at least 0", 3),
            (
                "final_lr_fraction",
                final_lr_fraction,
                0 <= final_lr_fraction <= 1,
                "from 0 to 1",
                0.01,
            ),
        ):
            if not valid:
                raise ConfigError(
                    f"{name} of WarmupCosine must be {rule}",
                    received=str(value),
                    fix=f"training.optimizer.learning_rate.{name}={example}",
                )
        self.peak, self.warmup_epochs = peak, warmup_epochs
        self.final_lr_fraction = final_lr_fraction
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

    def for_run(self, epochs: int, steps_per_epoch: float) -> Self:
        """Return the schedule with the length of the run, where it is not given."""
        length = {
            "epochs": self.epochs or epochs,
            "steps_per_epoch": self.steps_per_epoch or steps_per_epoch,
        }
        return type(self)(**self.get_config() | length)

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the learning rate, a float32 scalar, at a step, an integer counted from 0."""
        steps, warmup = self._lengths()
        step = ops.cast(step, "float32")
        warmup_factor = (step + 1) / max(warmup, 1)
        progress = ops.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
        final = self.final_lr_fraction
        cosine_factor = final + (1 - final) * 0.5 * (1 + ops.cos(math.pi * progress))
        return self.peak * ops.where(step < warmup, warmup_factor, cosine_factor)

    def _lengths(self) -> tuple[float, int]:
        """Return the steps of the run and of the warm-up."""
        if self.epochs is None or self.steps_per_epoch is None:
            raise ConfigError(
                "the schedule WarmupCosine does not know the length of the run",
                rule="epochs and steps_per_epoch; `vg.train` and `fit` fill them in",
                fix=f"WarmupCosine({self.peak}, epochs=100, steps_per_epoch=len(batches))",
            )
        # A short run would otherwise spend most of its steps below the peak learning rate.
        warmup = min(self.warmup_epochs, self.epochs / 4) * self.steps_per_epoch
        return self.epochs * self.steps_per_epoch, int(warmup)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "peak": self.peak,
            "warmup_epochs": self.warmup_epochs,
            "final_lr_fraction": self.final_lr_fraction,
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
        }


@register
class Shifted(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of a run that counts batches: from a later one on, several as one step, or lower.

    Args:
        schedule: The schedule.
        start: Batch at which it begins.
        batches: Batches of a step of the schedule.
        factor: Factor of the learning rate.

    Example:
        >>> from visiongarden.training.schedules import Shifted
        >>> decay = keras.optimizers.schedules.PolynomialDecay(0.4, 4, end_learning_rate=0.0)
        >>> [round(float(Shifted(decay, start=10, batches=2)(n)), 1) for n in (9, 10, 11, 12, 14)]
        [0.4, 0.4, 0.4, 0.3, 0.2]
    """

    def __init__(
        self, schedule: Any, start: int = 0, batches: int = 1, factor: float = 1.0
    ) -> None:
        if isinstance(schedule, dict):
            schedule = keras.optimizers.schedules.deserialize(schedule)
        self.schedule, self.start, self.batches = schedule, start, batches
        self.factor = factor

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the learning rate at a batch, an integer counted from 0."""
        count = ops.maximum(ops.cast(step, "int32") - self.start, 0)
        rate = self.schedule(count // self.batches)
        return rate if self.factor == 1 else rate * self.factor

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        inner = keras.optimizers.schedules.serialize(self.schedule)
        fields = {"start": self.start, "batches": self.batches, "factor": self.factor}
        return {"schedule": inner} | fields
