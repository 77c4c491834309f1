"""`Loader`: batches of a detection dataset, independent of the number of workers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.grain_batches import grain_batches
from visiongarden.errors import UserError
from visiongarden.samples.resizing import letterbox, resize
from visiongarden.transforms import Augmentation, Vary
from visiongarden.transforms.sizes import size_of_batch, sizes_of
from visiongarden.transforms.vary import STEP, WINDOW
from visiongarden.types import Batch, Example, ImageSize, Placement

CACHE_BYTES = 2 * 2**30
"""All decoded images stay in memory if together they take less than this, over all processes."""

RECENT_BYTES = 384 * 2**20
"""Otherwise each process caches its most recent images, up to this size."""


class Loader:
    """Batches of one detection split, read, decoded and augmented ahead of the model by Grain.

    Every image of an epoch is a function of the seed, the epoch and its position in the epoch.
    Order and augmentation are therefore the same for any number of workers, and an interrupted run
    can be resumed at any batch.

    Without `augmentation` each image is letterboxed and keeps all its boxes. With `augmentation`
    images are transformed, boxes that leave the view are removed, and crowd regions are left out.

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
        max_boxes: Number of boxes that a batch reserves per image. By default the maximum that
            can occur in one image, or in a mosaic of four. `Vary` never exceeds this number.
        size_step: Largest stride of the model; with `multi_scale` all sizes are multiples of it.

    Raises:
        UserError: `max_boxes` is smaller than the number of boxes that can occur in one image
            (boxes are never cut off silently), or `image_size` does not allow `multi_scale`.

    Example:
        >>> loader = Loader(read("coco128", split="val"), image_size=(640, 640), batch_size=16)
        >>> for batch in loader.epoch(0):
        ...     batch.images  # uint8 (16, 640, 640, 3)
        ...     batch.boxes  # float32 (16, max_boxes, 4), xyxy, pixels of `images`
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        image_size: ImageSize,
        batch_size: int,
        augmentation: Augmentation | None = None,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        drop_remainder: bool = False,
        max_boxes: int | None = None,
        size_step: int = 32,
    ) -> None:
        self.dataset, self.image_size, self.batch_size = dataset, image_size, batch_size
        self.augmentation, self.shuffle, self.seed = augmentation, shuffle, seed
        self.workers, self.drop_remainder = workers, drop_remainder
        needed = _max_boxes(dataset, augmentation)
        if max_boxes is not None and max_boxes < needed:
            raise UserError(
                f"max_boxes={max_boxes} is too small for this dataset",
                rule=f"at least {needed}, the maximum number of boxes in one augmented image",
            )
        self.max_boxes = max_boxes or needed
        multi_scale = augmentation.multi_scale if augmentation else 0.0
        self.sizes = sizes_of(image_size, multi_scale, size_step)
        largest = self.sizes[-1]
        # Each worker process fills its own cache.
        cached = len(dataset) * largest[0] * largest[1] * 3 * max(workers, 1)
        self._images = _Images(dataset, largest, cached < CACHE_BYTES, augmentation is not None)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

    def finished(self, epoch: int, place: int, mosaic: bool = True) -> Example:
        """Return one image of an epoch as the model receives it.

        Args:
            epoch: Number of the epoch, from 0.
            place: Position of the image in the order of the epoch.
            mosaic: Whether mosaics are enabled.

        Raises:
            DataError: An image cannot be decoded.
        """
        return _Epoch(self, epoch, mosaic)[place][0]

    def mosaic_in(self, epoch: int, epochs: int) -> bool:
        """Return whether mosaics are enabled in an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            epochs: Number of epochs of the run.
        """
        off = self.augmentation.mosaic_off_epochs if self.augmentation else epochs
        return epoch < epochs - off

    def epoch(self, number: int, mosaic: bool = True) -> Iterator[Batch]:
        """Iterate over the batches of one epoch.

        Args:
            number: Number of the epoch, from 0.
            mosaic: Whether mosaics are enabled; False yields single images only.

        Raises:
            DataError: An image cannot be decoded.
        """
        # OpenCV's own thread pool would compete with the reading threads for the same cores.
        cv2.setNumThreads(1)
        return grain_batches(
            _Epoch(self, number, mosaic),
            _Collate(self.max_boxes, self.augmentation is not None),
            self.batch_size,
            self.drop_remainder,
            self.workers,
        )

    def train_epoch(self, number: int, epochs: int) -> Iterator[Batch]:
        """Iterate over the batches of one training epoch; the last epochs have no mosaics.

        Args:
            number: Number of the epoch, from 0.
            epochs: Number of epochs of the run.
        """
        return self.epoch(number, mosaic=self.mosaic_in(number, epochs))


class _Images:
    """Decoded images, reduced to the size of the largest canvas, with a cache.

    If the decoded dataset fits into memory, all images are cached. Otherwise training caches the
    most recent ones, which the following mosaics reuse.
    """

    def __init__(
        self, dataset: DetectionDataset, size: ImageSize, keep: bool, training: bool
    ) -> None:
        self.dataset, self.size, self.keep, self.training = dataset, size, keep, training
        self.max_kept = len(dataset) if keep else 0
        if training and not keep:
            # A mosaic's other images are at most WINDOW * STEP positions away: with this many
            # cached, each image is decoded once instead of four times.
            self.max_kept = min(WINDOW * STEP + 32, RECENT_BYTES // (size[0] * size[1] * 3))
        self._start()

    def _start(self) -> None:
        self._kept: OrderedDict[int, Example] = OrderedDict()
        self._lock = threading.Lock()

    # Worker processes receive neither the cache nor the lock, which cannot be pickled.
    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Example:
        with self._lock:
            found = self._kept.get(index)
            if found is not None:
                self._kept.move_to_end(index)
                return found
        # Decoding a JPEG at a reduced size changes pixels, so metrics use full decoding.
        example = self.dataset.load(index, self.size if self.training else None)
        image = np.asarray(example.image)
        rows, columns = image.shape[:2]
        height, width = example.size or (rows, columns)
        ratio = min(self.size[0] / rows, self.size[1] / columns, 1.0)
        sides = (max(round(rows * ratio), 1), max(round(columns * ratio), 1))
        example = _scaled(example, resize(image, sides, self.training), (height, width))
        if self.max_kept:
            with self._lock:
                self._kept[index] = example
                if len(self._kept) > self.max_kept:
                    self._kept.popitem(last=False)
        return example


def _scaled(example: Example, image: np.ndarray, size: ImageSize) -> Example:
    """Return the example with a resized image and labels scaled to its pixels."""
    factors = np.array([image.shape[1] / size[1], image.shape[0] / size[0]], np.float32)
    boxes, scaled = example.boxes, example.polygons
    if (factors != 1).any():
        boxes = Placement((float(factors[0]), float(factors[1])), (0.0, 0.0)).apply(boxes)
        if scaled is not None:
            scaled = tuple(o and tuple(ring * factors for ring in o) for o in scaled)
    # Training needs neither area nor extra keys, and both are wrong for a resized image.
    return replace(
        example, image=image, boxes=boxes, polygons=scaled, size=size, area=None, extra=None
    )


class _InOrder:
    """Images indexed by their position in an epoch."""

    def __init__(self, images: _Images, order: np.ndarray) -> None:
        self.images, self.order = images, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Example:
        return self.images[int(self.order[place])]


class _Epoch:
    """Random access to the processed images of one epoch, as a Grain data source."""

    def __init__(self, loader: Loader, epoch: int, mosaic: bool) -> None:
        self.images, self.mosaic, self.sizes = loader._images, mosaic, loader.sizes
        self.seed, self.epoch, self.batch_size = loader.seed, epoch, loader.batch_size
        settings = loader.augmentation
        count = len(self.images)
        self.order = np.arange(count)
        if loader.shuffle:
            self.order = np.random.default_rng((self.seed, epoch)).permutation(count)
        self.vary: Vary | None = None
        if settings is not None:
            self.vary = Vary(_InOrder(self.images, self.order), settings, loader.max_boxes)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Example, Placement]:
        if self.vary is None:
            return self._letterboxed(int(self.order[place]))
        # One generator per position: the result does not depend on which process computes it.
        random = np.random.default_rng((self.seed, self.epoch, place))
        size = size_of_batch(self.sizes, self.seed, self.epoch, place // self.batch_size)
        example = self.vary(place, size, random, self.mosaic)
        return example, Placement((1.0, 1.0), (0.0, 0.0))

    def _letterboxed(self, index: int) -> tuple[Example, Placement]:
        example = self.images[index]
        image = np.asarray(example.image)
        canvas, placement = letterbox(image, self.images.size)
        height, width = example.size or image.shape[:2]
        rows, columns = image.shape[:2]
        # The caller maps boxes back to the original image, so both scales are combined into one.
        scale = (placement.scale[0] * columns / width, placement.scale[1] * rows / height)
        boxes = placement.apply(example.boxes)
        return replace(example, image=canvas, boxes=boxes), Placement(scale, placement.offset)


class _Collate:
    """Stack examples into a `Batch`; a class, so that it can be pickled for worker processes."""

    def __init__(self, max_boxes: int, training: bool) -> None:
        self.max_boxes, self.training = max_boxes, training

    def __call__(self, rows: Sequence[tuple[Example, Placement]]) -> Batch:
        count = len(rows)
        boxes = np.zeros((count, self.max_boxes, 4), np.float32)
        classes = np.full((count, self.max_boxes), -1, np.int32)
        crowd = np.zeros((count, self.max_boxes), bool)
        for i, (example, _) in enumerate(rows):
            many = example.crowd if example.crowd is not None else np.zeros(0, bool)
            # Losses do not use crowd regions; evaluation needs them, as COCO ignores matches with
            # them.
            chosen = ~many if self.training and len(many) else slice(None)
            own = example.boxes[chosen]
            boxes[i, : len(own)] = own
            classes[i, : len(own)] = example.classes[chosen]
            if len(many) and not self.training:
                crowd[i, : len(own)] = many
        return Batch(
            images=np.stack([np.asarray(example.image) for example, _ in rows]),
            boxes=boxes,
            classes=classes,
            image_ids=np.array([example.image_id for example, _ in rows], np.int64),
            sizes=np.array([example.size for example, _ in rows], np.int32),
            crowd=crowd,
            scales=np.array([placement.scale for _, placement in rows], np.float32),
            offsets=np.array([placement.offset for _, placement in rows], np.float32),
        )


def _max_boxes(dataset: DetectionDataset, augmentation: Augmentation | None) -> int:
    """Return the maximum number of boxes in one image, or in a mosaic of four images."""
    counts = np.sort(dataset.counts())[::-1]
    if not len(counts):
        return 1
    if augmentation is None or not augmentation.mosaic:
        return max(int(counts[0]), 1)
    # The four images of a mosaic differ, unless the dataset has fewer than four.
    four = counts[:4].sum() if len(counts) >= 4 else 4 * counts[0]
    return max(int(four), 1)
