"""`ClassificationLoader`: images and classes -> batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.data.epoch_loader import EpochLoader
from visiongarden.samples.resizing import cover, resize
from visiongarden.transforms import random_crop, random_operations
from visiongarden.transforms.blend import cutmix, mixup
from visiongarden.types import ClassBatch, ImageSize, Placement


class ClassificationLoader(EpochLoader):
    """Batches of a `ClassificationDataset`; see `EpochLoader`.

    Without augmentation an image covers the canvas, and what stands over is cut off. With
    augmentation a random part of it fills the canvas, varied and perhaps mixed with another image;
    the target then says how much of each class is in it.
    """

    def read(self, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """The image, shrunk until its part can just fill the canvas, and its own size."""
        image = self.dataset.load(index)
        height, width = image.shape[:2]
        largest = self.sizes[-1]
        ratio = min(1.5 * max(largest[0] / height, largest[1] / width), 1.0)
        sides = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        return resize(image, sides), (height, width)

    def plain(self, index: int) -> tuple[Any, ...]:
        """The middle of the image, its class, size and place."""
        image, size = self.kept(index)
        canvas, placement = cover(image, self.image_size)
        # From the original in one step: how it was shrunk before is of no interest to others.
        shrunk = (image.shape[1] / size[1], image.shape[0] / size[0])
        scale = (placement.scale[0] * shrunk[0], placement.scale[1] * shrunk[1])
        return canvas, self._hot(index), size, Placement(scale, placement.offset)

    def varied(self, index: int, size: ImageSize, random: np.random.Generator) -> tuple[Any, ...]:
        """A part of the image, varied and perhaps mixed; it has no place in the original."""
        settings = self.augmentation
        image, target = self._one(index, size, random)
        if settings.mix and random.random() < settings.mix:
            other, share = self._one(int(random.integers(len(self.dataset))), size, random)
            # Both are drawn for, so that a coin's side does not shift what comes after it.
            use_cutmix = random.random() * (settings.mixup + settings.cutmix) >= settings.mixup
            how, alpha = (cutmix, settings.cutmix) if use_cutmix else (mixup, settings.mixup)
            if alpha:
                image, kept = how(image, other, alpha, random)
                target = kept * target + (1 - kept) * share
        return image, target.astype(np.float32), size, Placement((1, 1), (0, 0))

    def _one(
        self, index: int, size: ImageSize, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        settings = self.augmentation
        image, _ = self.kept(index)
        image = random_crop(image, size, settings.area, settings.ratio, random)
        if random.random() < settings.flip:
            image = np.ascontiguousarray(image[:, ::-1])
        image = random_operations(image, settings.operations, settings.magnitude, random)
        return image, self._hot(index)

    def _hot(self, index: int) -> np.ndarray:
        target = np.zeros(len(self.dataset.class_map), np.float32)
        target[self.dataset.classes[index]] = 1
        return target

    def collate(self, rows: Sequence[tuple[Any, ...]]) -> ClassBatch:
        """Examples -> a batch."""
        images, classes, sizes, places = zip(*rows, strict=True)
        return ClassBatch(
            images=np.stack(images),
            classes=np.stack(classes),
            sizes=np.array(sizes, np.int32),
            scales=np.array([place.scale for place in places], np.float32),
            offsets=np.array([place.offset for place in places], np.float32),
        )
