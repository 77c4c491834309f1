"""`EpochBatches`: the batches of a run's epochs, as many as the loader announces."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any

from visiongarden.errors import DataError


class EpochBatches(Iterator[tuple[Any, Any]]):
    """Iterate over (images, targets) of the epochs that remain, `len(loader)` batches each.

    Args:
        loader: has `__len__` and `train_epoch(number, epochs)`.
        epoch: number of the first epoch, from 0.
        step: batches of that epoch to skip.
        epochs: of the whole run.

    Attributes:
        error: what reading a batch raised. TensorFlow reports an error of a Python generator as
            one of its own, without the type and with the traceback in the text; `fit` raises this
            one instead.
    """

    def __init__(self, loader: Any, epoch: int, step: int, epochs: int) -> None:
        self.error: Exception | None = None
        self._batches = _read(loader, epoch, step, epochs)

    def __next__(self) -> tuple[Any, Any]:
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise

    def close(self) -> None:
        """End the reading; Grain's threads and processes end with it."""
        self._batches.close()


def _read(
    loader: Any, epoch: int, step: int, epochs: int
) -> Generator[tuple[Any, Any], None, None]:
    steps = len(loader)
    for number in range(epoch, epochs):
        batches, first = loader.train_epoch(number, epochs), step if number == epoch else 0
        count = 0
        for count, batch in enumerate(itertools.islice(batches, steps), start=1):
            if count > first:
                yield batch.images, batch.targets
        if count < steps:
            # Keras would end the epoch here, and the run would never get past it.
            raise DataError(
                f"epoch {number + 1} of the training data ended after {count} of {steps} batches",
                rule="as many batches in every epoch as `len(loader)` announces",
                received=f"{count} batches from {type(loader).__name__}.train_epoch({number})",
                fix="`__len__` of the loader and of its data set must count what they yield",
            )
