"""`Loader`: a data set -> batches, the same ones for the same epoch whatever the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from visiongarden.data.augment import Augmentation, affine, flip, hsv, mosaic
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import letterbox, resize
from visiongarden.data.grain_batches import grain_batches
from visiongarden.errors import UserError
from visiongarden.types import Batch, Example, ImageSize, Placement

CACHE_BYTES = 2 * 2**30
"""Decoded images are kept in memory where all of them take less than this."""


class Loader:
    """Batches of one split, read, decoded and augmented ahead of the model by Grain.

    Every image of an epoch depends on the seed, the epoch and its place alone, so that order and
    augmentation are the same for any number of workers, and a run can be resumed anywhere.

    Without `augmentation` an image is letterboxed and its boxes stay as they are. With it the image
    may vary, boxes that it moves out of view go with what they showed, and crowds are left out.

    Args:
        dataset: what to read.
        image_size: (height, width) of the batches' images.
        batch_size: images a batch.
        augmentation: how images vary; None for judging.
        shuffle: a new order each epoch.
        seed: of order and augmentation.
        workers: processes; 0 reads in threads of this process.
        drop_remainder: leave out a last batch that is not full.
        max_boxes: room for boxes in a batch; by default for the most that can come together.

    Raises:
        UserError: `max_boxes` is less than what can come together; nothing is cut in silence.
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
        cached = len(dataset) * image_size[0] * image_size[1] * 3 * max(workers, 1)
        self._images = _Images(dataset, image_size, cached < CACHE_BYTES)

    def __len__(self) -> int:
        """Batches an epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

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
            _Epoch(self._images, self.augmentation, self.shuffle, self.seed, number, mosaic),
            _Collate(self.max_boxes, self.augmentation is not None),
            self.batch_size,
            self.drop_remainder,
            self.workers,
        )

    def train_epoch(self, number: int, epochs: int) -> Iterator[Batch]:
        """The batches of an epoch of a run of so many: mosaics end before the run does."""
        return self.epoch(number, mosaic=self.mosaic_in(number, epochs))


class _Images:
    """Decoded images, shrunk to what the canvas can show; kept where they fit into memory."""

    def __init__(self, dataset: DetectionDataset, size: ImageSize, keep: bool) -> None:
        self.dataset, self.size, self.keep = dataset, size, keep
        self._kept: dict[int, Example] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}

    def __getitem__(self, index: int) -> Example:
        if index in self._kept:
            return self._kept[index]
        example = self.dataset.load(index)
        image = np.asarray(example.image)
        height, width = image.shape[:2]
        ratio = min(self.size[0] / height, self.size[1] / width, 1.0)
        sides = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        placement = Placement((sides[1] / width, sides[0] / height), (0.0, 0.0))
        example = replace(
            example,
            image=resize(image, sides),
            boxes=placement.apply(example.boxes),
            size=(height, width),
        )
        if self.keep:
            self._kept[index] = example
        return example


class _Epoch:
    """Random access to the finished images of one epoch, as Grain wants it."""

    def __init__(
        self,
        images: _Images,
        augmentation: Augmentation | None,
        shuffle: bool,
        seed: int,
        epoch: int,
        mosaic: bool,
    ) -> None:
        self.images, self.augmentation, self.mosaic = images, augmentation, mosaic
        self.seed, self.epoch = seed, epoch
        count = len(images.dataset)
        self.order = np.arange(count)
        if shuffle:
            self.order = np.random.default_rng((seed, epoch)).permutation(count)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Example, Placement]:
        index = int(self.order[place])
        if self.augmentation is None:
            return self._letterboxed(index)
        random = np.random.default_rng((self.seed, self.epoch, place))
        example = self._varied(index, self.augmentation, random)
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

    def _varied(self, index: int, settings: Augmentation, random: np.random.Generator) -> Example:
        size = self.images.size
        if self.mosaic and random.random() < settings.mosaic:
            others = random.integers(0, len(self.order), 3)
            example = mosaic(
                [self.images[i] for i in (index, *map(int, others))],
                size,
                random,
                settings.scale,
                settings.translate,
                settings.least_visible,
            )
        else:
            example = self.images[index]
            matrix = _matrix(np.asarray(example.image).shape[:2], size, settings, random)
            example = affine(example, matrix, size, settings.least_visible)
        if random.random() < settings.flip:
            example = flip(example)
        return replace(example, image=hsv(np.asarray(example.image), settings.hsv, random))


def _matrix(
    shape: Sequence[int], size: ImageSize, settings: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Image -> canvas: fitted into the middle, then scaled, turned and shifted."""
    rows, columns = shape
    fit = min(size[0] / rows, size[1] / columns)
    factor = fit * random.uniform(1 - settings.scale, 1 + settings.scale)
    angle = np.deg2rad(random.uniform(-settings.degrees, settings.degrees))
    turn = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shift = random.uniform(-settings.translate, settings.translate, 2) * (size[1], size[0])
    middle = np.array([size[1] / 2, size[0] / 2]) + shift
    return np.column_stack([turn, middle - turn @ np.array([columns / 2, rows / 2])])


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
    counts = sorted((len(example.boxes) for example in dataset), reverse=True)
    if augmentation is None or not augmentation.mosaic:
        return max([*counts[:1], 1])
    # A mosaic may show one image several times.
    return max(4 * counts[0] if counts else 1, 1)
