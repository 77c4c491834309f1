"""Extending a run: the epochs and the learning-rate schedule of a run that is resumed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras

from visiongarden.errors import ConfigError, UserError
from visiongarden.training.building import schedule_of, updates_after
from visiongarden.training.settings import Training
from visiongarden.training.state import Progress

RESTART = "restart"


def restarted_at(before: Progress | None, settings: Training) -> int:
    """Return the number of epochs before the one in which the learning-rate schedule begins.

    Args:
        before: Progress of the run that is resumed, if any.
        settings: Settings of the run as it continues.
    """
    if before is None:
        return 0
    old = _saved(before)
    is_extended = old is not None and old.epochs != settings.epochs
    return before.epoch if is_extended and settings.extend == RESTART else before.restarted


def check_epochs(progress: Progress, settings: Training) -> None:
    """Check that a resumed run has at least the epochs that are complete.

    Raises:
        UserError: It has fewer.
    """
    if settings.epochs < progress.epoch:
        raise UserError(
            f"the run has {settings.epochs} epochs, but {progress.epoch} are complete",
            rule="at least the number of complete epochs",
            received=f"training.epochs={settings.epochs}",
            fix=f"training.epochs={progress.epoch}",
        )


def check_unfreezing(before: Progress | None, settings: Training) -> None:
    """Check that a resumed run unfreezes layers in an epoch that is still to come.

    Args:
        before: Progress of the run that is resumed, if any.
        settings: Settings of the run as it continues.

    Raises:
        UserError: The epoch was changed, and has begun or the layers are trained already.
    """
    old = None if before is None else _saved(before)
    epoch = settings.unfreeze_at_epoch
    if before is None or old is None or epoch == old.unfreeze_at_epoch:
        return
    if before.unfrozen:
        raise UserError(
            "unfreeze_at_epoch changed, but the layers that were frozen are trained already",
            rule="the epoch of the run so far",
            received=f"unfreeze_at_epoch={epoch}",
            fix=f"training.unfreeze_at_epoch={old.unfreeze_at_epoch}",
        )
    begun = before.epoch + (before.step > 0)
    if epoch is not None and epoch <= begun:
        raise UserError(
            f"unfreeze_at_epoch is {epoch}, but epoch {begun} has begun",
            rule="an epoch that is still to come",
            received=f"unfreeze_at_epoch={epoch}",
            fix=f"training.unfreeze_at_epoch={begun + 1}",
        )


def describe_join(
    before: Progress, settings: Training, steps_per_epoch: int, restarted: int
) -> str | None:
    """Return one line on a run that goes on with another schedule, or None.

    It states the learning rate of the last step before the join and of the first one after it.

    Args:
        before: Progress of the run so far.
        settings: Settings of the run as it continues.
        steps_per_epoch: Steps of an epoch.
        restarted: Epochs before the one in which the schedule begins.
    """
    old, batch = _saved(before), before.epoch * steps_per_epoch + before.step
    if old is None or batch == 0:
        return None
    if old.epochs == settings.epochs and old.optimizer == settings.optimizer:
        return None
    last = _rate(old, steps_per_epoch, before.restarted, batch - 1)
    first = _rate(settings, steps_per_epoch, restarted, batch)
    how = (
        "the schedule begins again"
        if settings.extend == RESTART and restarted == before.epoch
        else "the schedule is stretched; training.extend=restart begins it again"
    )
    how = how if old.epochs != settings.epochs else "the learning rate changes"
    return (
        f"epochs {old.epochs} → {settings.epochs}: {how}; "
        f"learning rate {last:.4g} before the join, {first:.4g} after it, in epoch "
        f"{before.epoch + 1}, step {batch + 1}"
    )


def _saved(before: Progress) -> Training | None:
    """Return the settings of the run so far; None in the damaged header of a checkpoint."""
    fields: Any = before.identity.get("training")
    with suppress(ConfigError):
        return Training.from_dict(fields) if isinstance(fields, dict) else None
    return None


def _rate(settings: Training, steps_per_epoch: int, restarted: int, batch: int) -> float:
    schedule = schedule_of(settings, steps_per_epoch, restarted)
    if schedule is not None:
        epochs, step = divmod(batch, steps_per_epoch)
        update = epochs * updates_after(settings, steps_per_epoch)
        update += step // settings.accumulate_steps
        return float(keras.ops.convert_to_numpy(schedule(update)))
    rate = settings.optimizer.arguments.get("learning_rate")
    return float(
        settings.optimizer.parameters().defaults["learning_rate"] if rate is None else rate
    )
