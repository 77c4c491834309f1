"""`roll_back`: continue a run that diverged from its last checkpoint, at a lower learning rate."""

from __future__ import annotations

from typing import Any

from visiongarden.backends.engine import engine
from visiongarden.errors import NotFiniteError
from visiongarden.progress import LOGGER
from visiongarden.training.callback_states import CallbackStates
from visiongarden.training.checkpointing import Checkpointing
from visiongarden.training.checkpoints import has_checkpoint, newest_checkpoint
from visiongarden.training.settings import Training
from visiongarden.training.stages import Stages
from visiongarden.training.state import load_state, saved_progress

_FACTOR = 0.1


def rate_factor(rollbacks: int) -> float:
    """Return the factor of the schedule of the learning rate after so many rollbacks."""
    return float(_FACTOR**rollbacks)


def roll_back(
    error: NotFiniteError, stages: Stages, saving: Checkpointing, settings: Training, callbacks: Any
) -> None:
    """Restore the last checkpoint, and lower the learning rate.

    Args:
        error: What ended the run.
        stages: Model and optimizer of the run.
        saving: Callback that saves the run.
        settings: Settings of the run.
        callbacks: Callbacks whose state a checkpoint contains.

    Raises:
        NotFiniteError: `error`, if the run has been rolled back `settings.rollbacks` times, has no
            checkpoint, has several processes, or its layers were unfrozen after the checkpoint.
    """
    record, progress = saving.record, saving.record.progress
    is_possible = engine().processes == 1 and progress.rollbacks < settings.rollbacks
    if not is_possible or not has_checkpoint(record.folder):
        raise error
    checkpoint = newest_checkpoint(record.folder)
    before = saved_progress(checkpoint)
    if before.unfrozen != progress.unfrozen:
        raise error
    rollbacks = progress.rollbacks + 1
    stages.lower_rate(rate_factor(rollbacks))
    optimizer: Any = stages.model.optimizer
    identity, data = progress.identity, progress.data
    found = load_state(checkpoint, identity, stages.model, optimizer, data, accept_changes=True)
    vars(progress).update(vars(found) | {"rollbacks": rollbacks})
    stages.lower_constant_rate(_FACTOR)
    record.restart()
    record.continue_epoch(stages.model)
    saving.states = CallbackStates(callbacks, progress.callbacks)
    LOGGER.warning(
        f"{error.what}: the run continues from epoch {progress.epoch + 1}, step "
        f"{progress.step + 1}, at a tenth of the learning rate (rollback {rollbacks} of "
        f"{settings.rollbacks})"
    )
