"""`EpochLoader`: base class of the loaders that yield one image and one target per example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from visiongarden.data.grain_batches import grain_batches
from visiongarden.transforms.sizes import size_of_batch, sizes_of
from visiongarden.types import ImageSize

CACHE_BYTES = 2 * 2**30
"""All decoded images stay in memory if together they take less than this, over all processes."""


class EpochLoader:
    """Base class of loaders whose examples consist of one image and one target.

    Every image of an epoch is a function of the seed, the epoch and its position in the epoch.
    Order and augmentation are therefore the same for any number of workers, and an interrupted run
    can be resumed at any batch. A subclass implements `read`, `plain`, `varied` and `collate`.

    Args:
        dataset: The split to read.
        image_size: (height, width) of the images of a batch, in pixels. With
            `augmentation.multi_scale` it is the middle of `sizes`; each batch has one of them.
        batch_size: Number of images per batch.
        augmentation: Augmentation for training; None for evaluation.
        shuffle: Whether to shuffle the images in each epoch.
        seed: Seed of the order and of the augmentation.
        workers: Number of worker processes; 0 reads in threads of this process.
        drop_remainder: Whether to drop the last batch if it is incomplete.
        size_step: Largest stride of the model; with `multi_scale` all sizes are multiples of it.

    Attributes:
        pixel_bytes: Bytes per pixel of a decoded image with its target.

    Raises:
        UserError: `image_size` does not allow `multi_scale`.
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
        # 2.25 = 1.5²: cached images are up to 1.5 times the canvas, so that a crop of them is still
        # sharp when it fills the canvas.
        size = 2.25 * self.sizes[-1][0] * self.sizes[-1][1] * self.pixel_bytes
        self._keep = len(dataset) * size * max(workers, 1) < CACHE_BYTES
        self._kept: dict[int, Any] = {}

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

    def epoch(self, number: int) -> Iterator[Any]:
        """Iterate over the batches of one epoch, counted from 0.

        Raises:
            DataError: An image cannot be decoded.
        """
        # OpenCV's own thread pool would compete with the reading threads for the same cores.
        cv2.setNumThreads(1)
        return grain_batches(
            _Epoch(self, number), self.collate, self.batch_size, self.drop_remainder, self.workers
        )

    def finished(self, number: int, place: int) -> tuple[Any, ...]:
        """Return one example of an epoch as the model receives it: image and target first.

        Args:
            number: Number of the epoch, from 0.
            place: Position of the example in the order of the epoch.

        Raises:
            DataError: An image cannot be decoded.
        """
        return _Epoch(self, number)[place]

    def train_epoch(self, number: int, epochs: int) -> Iterator[Any]:
        """Iterate over the batches of one training epoch.

        Args:
            number: Number of the epoch, from 0.
            epochs: Number of epochs of the run; unused here.
        """
        return self.epoch(number)

    def plain(self, index: int) -> tuple[Any, ...]:
        """Return one example on the canvas, without augmentation."""
        raise NotImplementedError

    def varied(self, index: int, size: ImageSize, random: np.random.Generator) -> tuple[Any, ...]:
        """Return one augmented example on a canvas of `size` (height, width)."""
        raise NotImplementedError

    def collate(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        """Stack examples into a batch."""
        raise NotImplementedError

    def kept(self, index: int) -> Any:
        """Return `read(index)`, cached if all decoded images fit into memory."""
        if index in self._kept:
            return self._kept[index]
        found = self.read(index)
        if self._keep:
            self._kept[index] = found
        return found

    def read(self, index: int) -> Any:
        """Return one decoded example, reduced to the resolution that the canvas can show."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        # Each worker process fills its own cache; sending this one would copy all its images.
        return self.__dict__ | {"_kept": {}}


class _Epoch:
    """Random access to the processed examples of one epoch, as a Grain data source."""

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
