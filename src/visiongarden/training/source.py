"""`EpochBatches`: the batches of a run's remaining epochs."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from visiongarden.data import Loader
from visiongarden.data.shares import WHOLE, Share
from visiongarden.errors import DataError, UserError
from visiongarden.progress import LOGGER


class _Rows(NamedTuple):
    images: np.ndarray
    targets: dict[str, np.ndarray]


class SkippedImages:
    """Images that could not be decoded, by epoch; batches are read ahead of the steps."""

    def __init__(self) -> None:
        self._by_epoch: dict[int, set[str]] = {}
        self._warned: set[str] = set()

    def note(self, epoch: int, lines: Iterable[str]) -> None:
        """Note images of an epoch, and log a warning about each once.

        Args:
            epoch: Index of the epoch, from 0.
            lines: One line for each image, with its file.
        """
        for line in lines:
            self._by_epoch.setdefault(epoch, set()).add(line)
            if line not in self._warned:
                self._warned.add(line)
                LOGGER.warning(f"skipped: {line}")

    def count(self, epoch: int) -> int:
        """Return the number of images that were skipped in an epoch."""
        return len(self._by_epoch.get(epoch, ()))


class EpochBatches(Iterator[tuple[Any, Any]]):
    """Iterator over (images, targets) of the remaining epochs, `len(loader)` batches each.

    Args:
        loader: Loader with `__len__` and `epoch(number, epochs)`.
        epoch: Index of the first epoch, from 0.
        step: Batches of that epoch to skip.
        epochs: Epochs of the whole run.
        until: Epoch at which the batches end; by default that of the run.
        share: The images that this process trains on, of those of several.
        skipped: Receives the images that the loader skips; None if it skips none.

    Attributes:
        error: Exception raised while a batch was read. TensorFlow replaces an error of a Python
            generator by a different one, which has lost the type and contains the traceback as
            text; `fit` raises this one instead.
    """

    def __init__(
        self,
        loader: Any,
        epoch: int,
        step: int,
        epochs: int,
        until: int | None = None,
        share: Share = WHOLE,
        skipped: SkippedImages | None = None,
    ) -> None:
        self.error: Exception | None = None
        last = epochs if until is None else until
        self._batches = _read(loader, epoch, step, epochs, last, share, skipped)

    def __next__(self) -> tuple[Any, Any]:
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise

    def close(self) -> None:
        """Stop reading; the threads and processes of Grain end with it."""
        self._batches.close()


def _read(
    loader: Any,
    epoch: int,
    step: int,
    epochs: int,
    until: int,
    share: Share,
    skipped: SkippedImages | None,
) -> Generator[tuple[Any, Any], None, None]:
    steps = len(loader)
    for number in range(epoch, until):
        first = step if number == epoch else 0
        # Images that are skipped are counted in the whole epoch, so that they are read once more.
        seeks = type(loader).epoch is Loader.epoch and skipped is None
        count = start = first if seeks else 0
        batches = _shared(loader, number, epochs, share, start)
        # A resumed epoch of other loaders reads its first batches again and drops them.
        for count, batch in enumerate(itertools.islice(batches, steps - start), start=start + 1):
            if skipped is not None:
                skipped.note(number, batch.info.skipped)
            if count > first:
                yield batch.images, batch.targets
        if count < steps:
            # Without the error Keras would end the epoch early, the run would count it as
            # incomplete, and every resume would repeat it.
            raise DataError(
                f"epoch {number + 1} of the training data ended after {count} of {steps} batches",
                rule="`len(loader)` batches in every epoch",
                received=f"{count} batches from {type(loader).__name__}.epoch({number})",
                fix="make `__len__` of the loader and its dataset return the number of their items",
            )


def _shared(loader: Any, number: int, epochs: int, share: Share, start: int) -> Iterator[Any]:
    """Return the batches of an epoch from one on, of each the rows of this process."""
    if start:
        return Loader.epoch(loader, number, epochs, share, start)
    if share.processes == 1:
        found: Iterator[Any] = loader.epoch(number, epochs)
        return found
    if isinstance(loader, Loader):
        return loader.epoch(number, epochs, share)
    # Other loaders read whole batches in every process.
    return (_rows(batch, share) for batch in loader.epoch(number, epochs))


def _rows(batch: Any, share: Share) -> _Rows:
    count = len(batch.images)
    if count % share.processes:
        raise UserError(
            f"a batch of {count} images cannot be divided among {share.processes} processes",
            rule="the same number of images of each batch in every process",
            fix="drop_remainder=True in the loader",
        )
    rows = slice(share.rank, None, share.processes)
    images, targets = keras.tree.map_structure(
        lambda array: array[rows], (batch.images, dict(batch.targets))
    )
    return _Rows(images, targets)
