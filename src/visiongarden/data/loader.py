"""`Loader`: a data set -> batches, the same ones for the same epoch whatever the workers."""

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
"""Decoded images are kept in memory where all of them take less than this."""

RECENT_BYTES = 384 * 2**20
"""Otherwise the last ones are kept, in each process, up to this."""


class Loader:
    """Batches of one split, read, decoded and augmented ahead of the model by Grain.

    Every image of an epoch depends on the seed, the epoch and its place alone, so that order and
    augmentation are the same for any number of workers, and a run can be resumed anywhere.

    Without `augmentation` an image is letterboxed and its boxes stay as they are. With it the image
    may vary, boxes that it moves out of view go with what they showed, and crowds are left out.

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
        max_boxes: room for boxes in a batch; by default for the most that can come together in a
            mosaic of four. More boxes never come: see `Vary`.
        size_step: the largest stride of the model that sees the batches, of which the sizes are
            multiples where they change.

    Raises:
        UserError: `max_boxes` is less than what can come together; nothing is cut in silence; or
            the image size cannot change as `multi_scale` says.
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
        most = _most_boxes(dataset, augmentation)
        if max_boxes is not None and max_boxes < most:
            raise UserError(
                f"max_boxes={max_boxes} would cut boxes",
                rule=f"at least {most}, the most that can come together in one image",
            )
        self.max_boxes = max_boxes or most
        multi_scale = augmentation.multi_scale if augmentation else 0.0
        self.sizes = sizes_of(image_size, multi_scale, size_step)
        largest = self.sizes[-1]
        cached = len(dataset) * largest[0] * largest[1] * 3 * max(workers, 1)
        self._images = _Images(dataset, largest, cached < CACHE_BYTES, augmentation is not None)

    def __len__(self) -> int:
        """Batches an epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

    def finished(self, epoch: int, place: int, mosaic: bool = True) -> Example:
        """One image of an epoch as the model sees it, by its place in the epoch's order.

        Raises:
            DataError: an image cannot be decoded.
        """
        return _Epoch(self, epoch, mosaic)[place][0]

    def mosaic_in(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch of so many, both from 0, still sees mosaics."""
        off = self.augmentation.mosaic_off_epochs if self.augmentation else epochs
        return epoch < epochs - off

    def epoch(self, number: int, mosaic: bool = True) -> Iterator[Batch]:
        """The batches of an epoch, from 0.

        Args:
            number: of the epoch.
            mosaic: False sees whole images only.

        Raises:
            DataError: an image cannot be decoded.
        """
        # One thread of OpenCV for each reader: its own pool would fight with theirs.
        cv2.setNumThreads(1)
        return grain_batches(
            _Epoch(self, number, mosaic),
            _Collate(self.max_boxes, self.augmentation is not None),
            self.batch_size,
            self.drop_remainder,
            self.workers,
        )

    def train_epoch(self, number: int, epochs: int) -> Iterator[Batch]:
        """The batches of an epoch of a run of so many: mosaics end before the run does."""
        return self.epoch(number, mosaic=self.mosaic_in(number, epochs))


class _Images:
    """Decoded images, shrunk to what the canvas can show; all are kept where they fit into memory.

    Otherwise the last ones are, which the next mosaics will ask for again.
    """

    def __init__(
        self, dataset: DetectionDataset, size: ImageSize, keep: bool, training: bool
    ) -> None:
        self.dataset, self.size, self.keep, self.training = dataset, size, keep, training
        self.most = len(dataset) if keep else 0
        if training and not keep:
            self.most = min(WINDOW * STEP + 32, RECENT_BYTES // (size[0] * size[1] * 3))
        self._start()

    def _start(self) -> None:
        self._kept: OrderedDict[int, Example] = OrderedDict()
        self._lock = threading.Lock()

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
        # What is judged must not depend on how it was decoded.
        example = self.dataset.load(index, self.size if self.training else None)
        image = np.asarray(example.image)
        rows, columns = image.shape[:2]
        height, width = example.size or (rows, columns)
        ratio = min(self.size[0] / rows, self.size[1] / columns, 1.0)
        sides = (max(round(rows * ratio), 1), max(round(columns * ratio), 1))
        example = _scaled(example, resize(image, sides, self.training), (height, width))
        if self.most:
            with self._lock:
                self._kept[index] = example
                if len(self._kept) > self.most:
                    self._kept.popitem(last=False)
        return example


def _scaled(example: Example, image: np.ndarray, size: ImageSize) -> Example:
    """The example with an image of another size, its labels in pixels of that."""
    factors = np.array([image.shape[1] / size[1], image.shape[0] / size[0]], np.float32)
    boxes, drawn = example.boxes, example.outlines
    if (factors != 1).any():
        boxes = Placement((float(factors[0]), float(factors[1])), (0.0, 0.0)).apply(boxes)
        if drawn is not None:
            drawn = tuple(o and tuple(ring * factors for ring in o) for o in drawn)
    # Neither is needed to train, and both would be wrong once the image is changed.
    return replace(
        example, image=image, boxes=boxes, outlines=drawn, size=size, area=None, extra=None
    )


class _InOrder:
    """Images by their place in an epoch."""

    def __init__(self, images: _Images, order: np.ndarray) -> None:
        self.images, self.order = images, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Example:
        return self.images[int(self.order[place])]


class _Epoch:
    """Random access to the finished images of one epoch, as Grain wants it."""

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
        # From the original in one step: how it was shrunk before is of no interest to others.
        scale = (placement.scale[0] * columns / width, placement.scale[1] * rows / height)
        boxes = placement.apply(example.boxes)
        return replace(example, image=canvas, boxes=boxes), Placement(scale, placement.offset)


class _Collate:
    """Examples -> `Batch`; a class, so that it can be sent to workers."""

    def __init__(self, max_boxes: int, training: bool) -> None:
        self.max_boxes, self.training = max_boxes, training

    def __call__(self, rows: Sequence[tuple[Example, Placement]]) -> Batch:
        count = len(rows)
        boxes = np.zeros((count, self.max_boxes, 4), np.float32)
        classes = np.full((count, self.max_boxes), -1, np.int32)
        crowd = np.zeros((count, self.max_boxes), bool)
        for i, (example, _) in enumerate(rows):
            many = example.crowd if example.crowd is not None else np.zeros(0, bool)
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


def _most_boxes(dataset: DetectionDataset, augmentation: Augmentation | None) -> int:
    """The most boxes of one image, or of a mosaic of four."""
    counts = np.sort(dataset.counts())[::-1]
    if not len(counts):
        return 1
    if augmentation is None or not augmentation.mosaic:
        return max(int(counts[0]), 1)
    # The images of a mosaic are different ones, unless there are too few.
    four = counts[:4].sum() if len(counts) >= 4 else 4 * counts[0]
    return max(int(four), 1)
