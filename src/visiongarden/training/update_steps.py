"""`UpdateSteps`: which steps update the weights when gradients are accumulated."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.backends.accumulation import accumulator_of
from visiongarden.training.record import Record


class UpdateSteps(keras.callbacks.Callback):
    """Callback that states before each step whether it updates the weights.

    Every so many steps of an epoch do, and its last one. A run ends after an update: between two,
    each replica holds a part of the gradients, which a checkpoint of process 0 would not contain.

    Args:
        record: Callback that counts the steps of the epoch, before this one.
        every: Batches of an update.
    """

    def __init__(self, record: Record, every: int) -> None:
        super().__init__()
        self._record, self._every = record, every
        self._stops = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Choose the kind of the step."""
        number = self._record.steps_done + 1
        accumulator = accumulator_of(self.model.optimizer)
        if accumulator is not None:
            accumulator.is_due = number % self._every == 0 or number >= self._record.steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Postpone the end of the run until the next update."""
        accumulator = accumulator_of(self.model.optimizer)
        self._stops = self._stops or bool(self.model.stop_training)
        self.model.stop_training = self._stops and (accumulator is None or accumulator.is_due)
