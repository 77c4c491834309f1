"""`ClassificationLoader`: batches of images and class targets."""

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
    """Batches of a `ClassificationDataset`, see `EpochLoader`.

    Without augmentation the image is resized to cover the canvas and cropped at the center. With
    augmentation a random crop fills the canvas, is transformed, and may be mixed with another
    image; the target then contains the share of each class.
    """

    def read(self, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Return an image and its original (height, width).

        A large image is reduced until it covers 1.5 times the canvas.
        """
        image = self.dataset.load(index)
        height, width = image.shape[:2]
        largest = self.sizes[-1]
        ratio = min(1.5 * max(largest[0] / height, largest[1] / width), 1.0)
        sides = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        return resize(image, sides), (height, width)

    def plain(self, index: int) -> tuple[Any, ...]:
        """Return the center crop of an image, its one-hot target, original size and placement."""
        image, size = self.kept(index)
        canvas, placement = cover(image, self.image_size)
        # Callers map results back to the original image, so both scales are combined into one.
        shrunk = (image.shape[1] / size[1], image.shape[0] / size[0])
        scale = (placement.scale[0] * shrunk[0], placement.scale[1] * shrunk[1])
        return canvas, self._hot(index), size, Placement(scale, placement.offset)

    def varied(self, index: int, size: ImageSize, random: np.random.Generator) -> tuple[Any, ...]:
        """Return an augmented crop of an image, its soft target, size and identity placement.

        A random crop has no placement that maps results back to the original image.
        """
        settings = self.augmentation
        image, target = self._one(index, size, random)
        if settings.mix and random.random() < settings.mix:
            other, share = self._one(int(random.integers(len(self.dataset))), size, random)
            # Sampled even if one of the two is disabled, so that disabling it does not change the
            # RNG state for what follows.
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
        """Stack examples into a `ClassBatch`."""
        images, classes, sizes, places = zip(*rows, strict=True)
        return ClassBatch(
            images=np.stack(images),
            classes=np.stack(classes),
            sizes=np.array(sizes, np.int32),
            scales=np.array([place.scale for place in places], np.float32),
            offsets=np.array([place.offset for place in places], np.float32),
        )
