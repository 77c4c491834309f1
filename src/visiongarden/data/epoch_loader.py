"""`EpochLoader`: base of the loaders whose examples are an image and one target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from visiongarden.data.grain_batches import grain_batches
from visiongarden.transforms.sizes import size_of_batch, sizes_of
from visiongarden.types import ImageSize

CACHE_BYTES = 2 * 2**30
"""Decoded images are kept in memory where all of them take less than this."""


class EpochLoader:
    """Batches of one split; every image depends on the seed, the epoch and its place alone.

    Order and augmentation are therefore the same for any number of workers, and a run can be
    resumed anywhere.

    Args:
        dataset: what to read.
        image_size: (height, width) of the batches' images; with `augmentation.multi_scale` the
            middle of `sizes`, of which each batch has one.
        batch_size: images a batch.
        augmentation: how images vary; None for judging.
        shuffle: a new order each epoch.
        seed: of order and augmentation.
        workers: processes; 0 reads in threads of this process.
        drop_remainder: leave out a last batch that is not full.
        size_step: the largest stride of the model that sees the batches, of which the sizes are
            multiples where they change.

    Raises:
        UserError: the image size cannot change as `multi_scale` says.
    """

    pixel_bytes = 3

    def __init__(
        self,
        dataset: Any,
        image_size: ImageSize,
        batch_size: int,
        augmentation: Any = None,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        drop_remainder: bool = False,
        size_step: int = 32,
    ) -> None:
        self.dataset, self.image_size, self.batch_size = dataset, image_size, batch_size
        self.augmentation, self.shuffle, self.seed = augmentation, shuffle, seed
        self.workers, self.drop_remainder = workers, drop_remainder
        multi_scale = augmentation.multi_scale if augmentation else 0.0
        self.sizes = sizes_of(image_size, multi_scale, size_step)
        # Kept images may be half as large again as the canvas, so that a part fills it sharply.
        size = 2.25 * self.sizes[-1][0] * self.sizes[-1][1] * self.pixel_bytes
        self._keep = len(dataset) * size * max(workers, 1) < CACHE_BYTES
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        """Batches an epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of an epoch, from 0.

        Raises:
            DataError: an image cannot be decoded.
        """
        # One thread of OpenCV for each reader: its own pool would fight with theirs.
        cv2.setNumThreads(1)
        return grain_batches(
            _Epoch(self, number), self.collate, self.batch_size, self.drop_remainder, self.workers
        )

    def finished(self, number: int, place: int) -> tuple[Any, ...]:
        """One example of an epoch as the model sees it: image and target first.

        Args:
            number: of the epoch, from 0.
            place: in the epoch's order.

        Raises:
            DataError: an image cannot be decoded.
        """
        return _Epoch(self, number)[place]

    def train_epoch(self, number: int, epochs: int) -> Iterator[Any]:
        """The batches of an epoch of a run of so many."""
        return self.epoch(number)

    def plain(self, index: int) -> tuple[Any, ...]:
        """One example as it is, on the canvas."""
        raise NotImplementedError

    def varied(self, index: int, size: ImageSize, random: np.random.Generator) -> tuple[Any, ...]:
        """One example, augmented, on a canvas of (height, width)."""
        raise NotImplementedError

    def collate(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        """Examples -> a batch."""
        raise NotImplementedError

    def kept(self, index: int) -> Any:
        """`read(index)`, from memory where it was read before and all images fit."""
        if index in self._kept:
            return self._kept[index]
        found = self.read(index)
        if self._keep:
            self._kept[index] = found
        return found

    def read(self, index: int) -> Any:
        """One decoded example, shrunk to what the canvas can show."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}


class _Epoch:
    """Random access to the finished examples of one epoch, as Grain wants it."""

    def __init__(self, loader: EpochLoader, number: int) -> None:
        self.loader, self.number = loader, number
        count = len(loader.dataset)
        self.order = np.arange(count)
        if loader.shuffle:
            self.order = np.random.default_rng((loader.seed, number)).permutation(count)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        index = int(self.order[place])
        if self.loader.augmentation is None:
            return self.loader.plain(index)
        loader = self.loader
        size = size_of_batch(loader.sizes, loader.seed, self.number, place // loader.batch_size)
        seed = (loader.seed, self.number, place)
        return loader.varied(index, size, np.random.default_rng(seed))
