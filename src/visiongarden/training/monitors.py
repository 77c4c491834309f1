"""Callbacks that watch a logged value: checks of its name, and epochs without an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import keras

from visiongarden.errors import UserError, nearest
from visiongarden.losses import Loss

_Monitoring: TypeAlias = (
    keras.callbacks.EarlyStopping
    | keras.callbacks.ModelCheckpoint
    | keras.callbacks.ReduceLROnPlateau
)
_MINIMIZED = ("loss", "val_loss")


def check_monitors(
    callbacks: Iterable[keras.callbacks.Callback], loss: Loss, metrics: Iterable[str]
) -> None:
    """Check that the callbacks of Keras watch values that are logged.

    With another name Keras warns after each epoch, and the callback does nothing.

    Args:
        callbacks: Callbacks of a run.
        loss: Loss of the run.
        metrics: Names of the metrics of the evaluation, without "val_".

    Raises:
        UserError: A value is not logged, or Keras cannot know whether it should rise or fall.
    """
    callbacks = list(callbacks)
    evaluated = [f"val_{name}" for name in metrics]
    logged = ["loss", *loss.terms, *evaluated, *(["val_loss"] if evaluated else [])]
    # Another callback may add values.
    only_keras = all(type(each).__module__.startswith("keras.") for each in callbacks)
    for callback in _monitoring(callbacks):
        name, monitor = type(callback).__name__, callback.monitor
        if monitor not in (*logged, "learning_rate") and only_keras:
            raise UserError(
                f"the callback {name} monitors {monitor!r}, which is not logged",
                rule="the loss, one of its terms, or a metric of the evaluation",
                received=f"monitor={monitor!r}",
                fix=f"monitor: {evaluated[0]}, mode: max ({nearest(monitor, logged)})"
                if evaluated
                else nearest(monitor, logged),
            )
        if callback.mode not in ("min", "max") and monitor not in _MINIMIZED:
            mode = "max" if monitor in evaluated else "min"
            raise UserError(
                f"the callback {name} does not know whether {monitor!r} should rise or fall",
                rule="mode is max or min",
                received=f"mode={callback.mode!r}",
                fix=f"{{type: {name}, monitor: {monitor}, mode: {mode}}}",
            )


def prepare_for_evaluations(
    callbacks: Iterable[keras.callbacks.Callback], metrics: Sequence[str]
) -> None:
    """Prepare callbacks of Keras for epochs without an evaluation.

    An epoch that is interrupted, or that `validate_every` leaves out, has no metrics in its logs.
    Keras would then warn and, with `save_best_only`, save the model; instead, a callback that
    watches a metric skips the epoch. `CSVLogger` takes its columns from the first epoch; it
    receives "NA", as Keras writes it.

    Args:
        callbacks: Callbacks of the run; changed in place.
        metrics: Names of the metrics, with "val_".
    """
    callbacks = list(callbacks)
    for callback in _monitoring(callbacks):
        if callback.monitor in metrics:
            _replace_epoch_end(callback, _skipping(callback.on_epoch_end, callback.monitor))
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            _replace_epoch_end(callback, _filling(callback.on_epoch_end, tuple(metrics)))


def _monitoring(callbacks: Iterable[keras.callbacks.Callback]) -> list[_Monitoring]:
    found = [each for each in callbacks if isinstance(each, _Monitoring)]
    # A checkpoint of every epoch does not look at its monitor.
    return [
        each
        for each in found
        if not isinstance(each, keras.callbacks.ModelCheckpoint) or each.save_best_only
    ]


_EpochEnd: TypeAlias = Callable[[int, Any], None]


def _replace_epoch_end(callback: keras.callbacks.Callback, function: _EpochEnd) -> None:
    # On the instance: the callback stays one of its class, which belongs to Keras.
    callback.on_epoch_end = function


def _skipping(original: _EpochEnd, monitor: str) -> _EpochEnd:
    def on_epoch_end(epoch: int, logs: Any = None) -> None:
        if monitor in (logs or {}):
            original(epoch, logs)

    return on_epoch_end


def _filling(original: _EpochEnd, names: tuple[str, ...]) -> _EpochEnd:
    def on_epoch_end(epoch: int, logs: Any = None) -> None:
        original(epoch, dict.fromkeys(names, "NA") | (logs or {}))

    return on_epoch_end
