"""`LossWatch`: name the step and the images at which the loss of a run became invalid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from visiongarden.backends.training_state import is_on_accelerator
from visiongarden.errors import NotFiniteError
from visiongarden.training.batch_logs import BatchLogs
from visiongarden.training.record import Record

_STEPS = 32
"""Steps between two looks at the loss on an accelerator, which each look waits for."""
_EXPLODED = 1e6
"""Loss of a step, relative to the first one, that no run recovers from."""
_LISTED = 4


class DivergedError(NotFiniteError):
    """Raised when the loss of a step is infinite or NaN, or exploded.

    Attributes:
        epoch: Index of the epoch, from 0.
        step: Index of the step in the epoch, from 0.
    """

    def __init__(
        self, what: str, epoch: int, step: int, images: Sequence[str], rule: str, fix: str
    ) -> None:
        self.epoch, self.step = epoch, step
        shown = ", ".join(images[:_LISTED])
        more = f" and {len(images) - _LISTED} more" if images[_LISTED:] else ""
        super().__init__(
            f"{what} in epoch {epoch + 1}, step {step + 1}",
            rule=rule,
            received=f"images of the step: {shown}{more}" if images else None,
            fix=fix,
        )


class LossWatch(keras.callbacks.Callback):
    """Callback that ends a run at the first step whose loss is not finite, or exploded.

    Args:
        record: Callback that counts the steps; it comes before this one.
        images_of: Function from the epoch and the step, from 0, to the names of the images.
        fix: The `fix` line of the error.
    """

    def __init__(
        self, record: Record, images_of: Callable[[int, int], Sequence[str]], fix: str
    ) -> None:
        super().__init__()
        self._record, self._images_of, self._fix = record, images_of, fix
        self._every = _STEPS if is_on_accelerator() else 1
        self._waiting: list[tuple[int, Any]] = []
        self._mean, self._count = 0.0, 0
        self._first: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin with the means of a new epoch."""
        self._epoch, self._waiting = epoch, []
        self._mean, self._count = math.nan, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the losses of the last steps.

        Raises:
            DivergedError: One of them is infinite or NaN, or exploded.
        """
        value = (logs.on_device if isinstance(logs, BatchLogs) else logs or {}).get("loss")
        if value is None:
            return
        # A copy: a captured step may return the same memory each time.
        kept = value if self._every == 1 else keras.ops.add(value, 0.0)
        self._waiting.append((self._record.steps_done, kept))
        if len(self._waiting) >= self._every or self._record.is_epoch_complete:
            waiting, self._waiting = self._waiting, []
            steps, means = zip(*waiting, strict=True)
            # One copy for all, since each one waits for the device.
            values = keras.ops.convert_to_numpy(keras.ops.stack(means))
            for step, mean in zip(steps, values.tolist(), strict=True):
                self._look(step, mean)

    def _look(self, steps: int, mean: float) -> None:
        """Check the mean of the loss over so many steps of the epoch."""
        if not math.isfinite(mean):
            raise self._error(f"the loss became {mean}", steps)
        loss = mean
        if self._count == steps - 1 and self._count:
            loss = mean * steps - self._mean * self._count
        self._mean, self._count = mean, steps
        first = self._first = loss if self._first is None else self._first
        if loss > _EXPLODED * max(abs(first), 1.0):
            raise self._error(f"the loss exploded from {first:.3g} to {loss:.3g}", steps)

    def _error(self, what: str, steps: int) -> DivergedError:
        return DivergedError(
            what,
            self._epoch,
            steps - 1,
            self._images_of(self._epoch, steps - 1),
            rule=f"nothing from this step was saved in {self._record.folder}",
            fix=self._fix,
        )
