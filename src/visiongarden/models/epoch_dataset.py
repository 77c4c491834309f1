"""`EpochDataset`: the batches of our loaders as data of Keras's `fit` and `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.errors import DataError


@runtime_checkable
class Epochs(Protocol):
    """A loader whose epochs are numbered, such as `vg.data.Loader`."""

    batch_size: int

    def __len__(self) -> int: ...

    def epoch(self, number: int, epochs: int | None = None) -> Iterator[Any]:
        """Iterate over the batches of an epoch."""


class EpochDataset(keras.utils.PyDataset):
    """Batches of a loader as `(images, targets)`, in the order of the loader.

    Keras must not shuffle them: batches are read one after another, and `dataset[0]` begins.

    Args:
        loader: Loader with `__len__` and `epoch(number, epochs)`.
        first: Number of the first epoch, from 0.
        epochs: Number of epochs of the run; None if it is not known.

    Attributes:
        info: `BatchInfo` of each batch that was read, by its number in the epoch.
    """

    def __init__(self, loader: Epochs, first: int = 0, epochs: int | None = None) -> None:
        super().__init__()
        self.loader, self._epoch, self._epochs = loader, first, epochs
        self.info: dict[int, Any] = {}
        self._batches: Iterator[Any] = iter(())
        self._next = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return the images and targets of a batch; batches before it are skipped.

        Raises:
            DataError: The epoch of the loader ends early.
        """
        if index < self._next or index == 0:
            self._batches, self._next = iter(self.loader.epoch(self._epoch, self._epochs)), 0
        batch = None
        while self._next <= index:
            batch = next(self._batches, None)
            if batch is None:
                raise DataError(
                    f"epoch {self._epoch + 1} of the data ended after {self._next} of "
                    f"{len(self)} batches",
                    rule="`len(loader)` batches in every epoch",
                    fix="make `__len__` of the loader return the number of its batches",
                )
            self._next += 1
        assert batch is not None  # noqa: S101  the loop ran: `index` is at least `_next`
        self.info[index] = batch.info
        return batch.images, batch.targets

    def on_epoch_end(self) -> None:
        """Continue with the next epoch."""
        self._epoch += 1


@runtime_checkable
class _Indexed(Protocol):
    """Data with a length and an index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


class IndexedBatches(keras.utils.PyDataset):
    """Batches with a length and an index, such as those of a `grain.MapDataset`, in their order.

    Keras itself reads a dataset of Grain to its end and warns that it ran out of data.

    Args:
        batches: Batches of `(images, targets)`.
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        """Return the images and targets of a batch."""
        return self._batches[index]


def is_indexed(data: Any) -> bool:
    """Return whether `data` is a dataset of Grain with a length."""
    is_grain = any(base.__module__.partition(".")[0] == "grain" for base in type(data).__mro__)
    return is_grain and isinstance(data, _Indexed)
