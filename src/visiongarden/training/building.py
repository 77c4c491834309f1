"""Optimizer and callbacks of a run, built from its settings and checked before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from visiongarden.config import KerasOptimizer, KerasSchedule
from visiongarden.errors import UserError
from visiongarden.training.averaging import AveragingOptimizer
from visiongarden.training.optimizer_fields import SCHEDULE, is_vectorized
from visiongarden.training.schedules import OfRun, Shifted, WarmupCosine
from visiongarden.training.settings import Training

_SETS_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
_PEAKS = ("peak", "warmup_target", "initial_learning_rate")
"""Arguments of schedules that scale the whole schedule; the first that is given is its peak."""


def make_optimizer(
    settings: Training,
    steps_per_epoch: int,
    restarted: int = 0,
    factor: float = 1.0,
    rows: int = 1,
) -> AveragingOptimizer:
    """Create the optimizer of a run, with its learning-rate schedule and the moving average.

    Args:
        settings: Settings of the run.
        steps_per_epoch: Steps of an epoch.
        restarted: Epochs before the one in which the schedule began again.
        factor: Factor of the schedule. A constant learning rate is part of the optimizer's state.
        rows: Number of sums of gradients, if they are accumulated over batches; see
            `TrainedByHead.sums_of_loss`.

    Raises:
        ConfigError: The class of the optimizer or schedule does not accept its arguments.
    """
    chosen = settings.optimizer
    rows = rows if settings.accumulate_steps > 1 else 0
    schedule = schedule_of(settings, steps_per_epoch, restarted, factor)
    if schedule is None:
        return AveragingOptimizer(chosen.build(), settings.ema_decay, rows)
    # A number at first: Keras calls the schedule that is replaced, which may lack the length.
    optimizer = chosen.replace(learning_rate=1.0).build()
    optimizer.learning_rate = schedule
    return AveragingOptimizer(optimizer, settings.ema_decay, rows)


def schedule_of(
    settings: Training, steps_per_epoch: int, restarted: int = 0, factor: float = 1.0
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Return the learning rate by update, with the length of the run; None if it is constant.

    Keras's optimizers count batches, of which several make one update where they accumulate
    gradients themselves.
    """
    rate = settings.optimizer.arguments.get("learning_rate")
    if not isinstance(rate, Mapping):
        return None
    schedule = KerasSchedule.from_dict(rate).build()
    batches = settings.optimizer.arguments.get("gradient_accumulation_steps") or 1
    steps_per_epoch = updates_after(settings, steps_per_epoch)
    updates = steps_per_epoch if batches == 1 else steps_per_epoch / batches
    if isinstance(schedule, OfRun):
        schedule = schedule.for_run(settings.epochs - restarted, updates)
    start = restarted * steps_per_epoch
    changes = (start, batches, factor)
    return schedule if changes == (0, 1, 1.0) else Shifted(schedule, *changes)


def updates_after(settings: Training, steps: int) -> int:
    """Return the number of updates of the weights in some steps from the beginning of an epoch on.

    The last update of an epoch may have fewer batches than the others.
    """
    return -(-steps // settings.accumulate_steps)


def check_optimizer(settings: Training) -> None:
    """Take one step with the optimizer on a small weight.

    Keras checks few of its arguments; the others would end the run at its first step.

    Raises:
        ConfigError: The class of the optimizer or schedule does not accept its arguments.
    """
    optimizer = make_optimizer(settings, 1)
    weight = keras.Variable(keras.ops.ones((2, 2)), name="weight")
    try:
        optimizer.build([weight])
        optimizer.apply([keras.ops.full((2, 2), 0.5)], [weight])
    except Exception as error:  # Keras and the backends raise many types
        raise settings.optimizer.refused(error) from error


def make_callbacks(settings: Training) -> tuple[keras.callbacks.Callback, ...]:
    """Create the callbacks that the settings name.

    Raises:
        ConfigError: The class of a callback does not accept its arguments.
    """
    return tuple(callback.build() for callback in settings.callbacks)


def check_callbacks(callbacks: Any, optimizer: KerasOptimizer) -> None:
    """Check that callbacks are a list of callbacks, which fit the optimizer.

    Raises:
        UserError: They are not, or one of them sets the learning rate that a schedule determines.
    """
    if isinstance(callbacks, keras.callbacks.Callback):
        raise UserError(
            "callbacks is a single callback", rule="a list of callbacks", fix="callbacks=[callback]"
        )
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(
                f"{callback!r:.60} is not a callback",
                rule="each of callbacks is a keras.callbacks.Callback",
                received=type(callback).__name__,
                fix="callbacks=[keras.callbacks.TerminateOnNaN()]",
            )
    _check_rate_can_be_set(callbacks, optimizer)


def _check_rate_can_be_set(
    callbacks: Sequence[keras.callbacks.Callback], optimizer: KerasOptimizer
) -> None:
    rate = optimizer.arguments.get("learning_rate")
    setters = [type(each).__name__ for each in callbacks if isinstance(each, _SETS_RATE)]
    if setters and isinstance(rate, Mapping):
        peak = next((rate[name] for name in _PEAKS if name in rate), 0.001)
        name = "AdamW" if is_vectorized(optimizer.type) else optimizer.type
        raise UserError(
            f"the callback {setters[0]} sets the learning rate, which the schedule "
            f"{rate['type']} determines",
            rule="an optimizer of Keras whose learning rate is a number",
            received=f"optimizer {optimizer.type} with the schedule {rate['type']}",
            fix=f"training.optimizer='{{type: {name}, learning_rate: {peak:g}}}'",
        )


def check_restored_weights(
    callbacks: Sequence[keras.callbacks.Callback], settings: Training
) -> None:
    """Check that no callback restores weights that the moving average replaces afterwards.

    Raises:
        UserError: `EarlyStopping` has `restore_best_weights`.
    """
    for callback in callbacks:
        is_early = isinstance(callback, keras.callbacks.EarlyStopping)
        if is_early and callback.restore_best_weights and settings.ema_decay is not None:
            raise UserError(
                "the weights that EarlyStopping restores are replaced by their moving average",
                rule="restore_best_weights is false; best.keras has the weights of the best epoch",
                received="restore_best_weights=True",
                fix="restore_best_weights: false, or training.ema_decay=null",
            )


def lower_rate(settings: Training) -> tuple[str, float] | None:
    """Return a learning rate to try after divergence, and the field that sets it.

    A tenth, and no more than the default. None: the schedule has no field that scales it.
    """
    rate, field, default = settings.optimizer.arguments.get("learning_rate"), "learning_rate", None
    if rate is None:
        rate = settings.optimizer.parameters().defaults.get(field)
    if isinstance(rate, Mapping):
        name = next((name for name in _PEAKS if isinstance(rate.get(name), int | float)), None)
        if name is None:
            return None
        if rate["type"] == SCHEDULE:
            default = WarmupCosine().peak
        rate, field = rate[name], f"{field}.{name}"
    if not isinstance(rate, int | float):
        return None
    return f"training.optimizer.{field}", min(rate / 10, default or rate)


def describe_optimizer(settings: Training) -> str:
    """Return one line on the optimizer of a run, its learning rate and the moving average."""
    chosen = settings.optimizer
    fields = dict(chosen.arguments)
    kind = "vectorized" if is_vectorized(chosen.type) else _origin(chosen)
    rate = fields.pop("learning_rate", chosen.parameters().defaults.get("learning_rate"))
    others = [f"{name} {value}" for name, value in fields.items() if value not in (None, False)]
    average = (
        f"moving average of the weights {settings.ema_decay:g}"
        if settings.ema_decay is not None
        else "no moving average of the weights"
        if not fields.get("use_ema")
        else "Keras's moving average of the weights"
    )
    return ", ".join(
        [f"optimizer {chosen.type} ({kind})", f"learning rate {_rate(rate)}", *others, average]
    )


def _origin(optimizer: KerasOptimizer) -> str:
    module = KerasOptimizer.find(optimizer.type).__module__
    return "Keras" if module.startswith("keras.") else module


def _rate(rate: Any) -> str:
    if not isinstance(rate, Mapping):
        return f"{rate}, constant"
    fields = ", ".join(f"{name} {value}" for name, value in rate.items() if name != "type")
    return f"{rate['type']} ({fields})"
