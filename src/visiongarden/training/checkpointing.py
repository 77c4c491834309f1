"""`Checkpointing`: the callback that saves the state of a run, also within an epoch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import keras

from visiongarden.backends.accumulation import accumulator_of
from visiongarden.backends.distribution import is_first
from visiongarden.backends.training_state import sync_state
from visiongarden.training.callback_states import CallbackStates
from visiongarden.training.checkpoint_interval import CheckpointInterval
from visiongarden.training.checkpoint_writer import CheckpointWriter
from visiongarden.training.record import Record
from visiongarden.training.state import take_state


class Checkpointing(keras.callbacks.Callback):
    """Callback that takes the state after a step or an epoch, and has it written by a thread.

    It is the last callback of a run, so that a checkpoint contains what the others did.

    Args:
        record: Callback that knows the progress of the run.
        writer: Writer of the checkpoints.
        states: State of the other callbacks.
        every: Time or steps between two checkpoints within an epoch; None: at its end only.
    """

    def __init__(
        self,
        record: Record,
        writer: CheckpointWriter,
        states: CallbackStates,
        every: CheckpointInterval | None = None,
    ) -> None:
        super().__init__()
        self.record, self.writer, self.states, self._every = record, writer, states, every
        self._restart()

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the state of the other callbacks, which Keras has reset."""
        self.states.restore()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save the state after this step, if the run ends here or if it is time.

        Raises:
            OSError: The last checkpoint could not be written.
            UserError: It must not be saved, or the folder of the run is gone.
        """
        self.writer.raise_error()
        self._steps += 1
        accumulator = accumulator_of(self.model.optimizer)
        if accumulator is not None and not accumulator.is_due:
            return  # each replica has a part of the gradients so far
        if self.record.is_epoch_complete:
            return  # `on_epoch_end` follows, which saves the state
        # Here, where training ends within an epoch: Keras calls `on_epoch_end` of all callbacks,
        # which would count the epoch twice.
        if self.model.stop_training or (self._is_due() and not self.writer.is_busy):
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save the state after an epoch."""
        # Last, once `best.keras` and `history.json` are complete: a run that is killed before this
        # line repeats what follows the checkpoint before.
        if not self.record.progress.step:
            self.save()

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the state of the other callbacks for the next call of `fit`."""
        self.states.keep()

    def save(self) -> None:
        """Save the state between two steps, in the first process."""
        if not is_first():
            return
        model: Any = self.record.model
        sync_state(model)
        progress = replace(self.record.current_progress(), callbacks=self.states.get())
        self.writer.write(take_state(progress, model, model.optimizer))
        self._restart()

    def _restart(self) -> None:
        self._began, self._steps = time.monotonic(), 0

    def _is_due(self) -> bool:
        seconds = time.monotonic() - self._began
        return self._every is not None and self._every.is_over(seconds, self._steps)
