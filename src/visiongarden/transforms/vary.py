"""Apply the augmentation for detection to the images of an epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from visiongarden.transforms import mix, scene
from visiongarden.transforms.augmentation import Augmentation
from visiongarden.transforms.color import hsv
from visiongarden.transforms.flips import flip
from visiongarden.types import Example, ImageSize

WINDOW, STEP = 16, 8
"""The other images of a mosaic are at most `WINDOW * STEP` positions away in the order of the
epoch, in steps of `STEP`. An image that was decoded for its own position is then still cached when
a mosaic needs it, and is decoded once instead of four times. The step of 8 makes this hold within
each of two, four or eight worker processes that take positions in turn."""


class Decoded(Protocol):
    """Sequence of examples with decoded images, in the order of the epoch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Vary:
    """Pipeline of the augmentation for detection, deterministic for given random numbers.

    Args:
        images: examples with decoded images, by their position in the epoch.
        settings: probabilities and ranges of the transforms.
        capacity: largest number of boxes of an image. A transform that would exceed it is skipped:
            a mosaic of nine becomes one of four, and no second image is mixed in. No label of an
            image is ever discarded to fit.
    """

    def __init__(self, images: Decoded, settings: Augmentation, capacity: int) -> None:
        self.images, self.settings, self.capacity = images, settings, capacity

    def __call__(
        self, place: int, size: ImageSize, random: np.random.Generator, mosaic: bool = True
    ) -> Example:
        """Return an augmented example.

        Args:
            place: position of the image in the epoch.
            size: (height, width) of the canvas.
            random: random number generator.
            mosaic: whether mosaics, mix-up and copy-paste are allowed; False in the last epochs.
        """
        settings = self.settings
        example = self._scene(place, size, random, mosaic)
        if mosaic and settings.mixup and random.random() < settings.mixup:
            other = self._scene(self._others(place, 1, random)[0], size, random, mosaic)
            if len(example.boxes) + len(other.boxes) <= self.capacity:
                example = mix.mixup(example, other, random)
        if mosaic and settings.copy_paste and random.random() < settings.copy_paste:
            example = self._pasted(example, self._others(place, 1, random)[0], size, random)
        if random.random() < settings.flip:
            example = flip(example)
        if settings.flip_vertical and random.random() < settings.flip_vertical:
            example = flip(example, vertical=True)
        if settings.cutout and random.random() < settings.cutout:
            example = mix.cutout(example, settings.max_cutout, settings.min_visibility, random)
        return replace(example, image=hsv(np.asarray(example.image), settings.hsv, random))

    def _scene(
        self, place: int, size: ImageSize, random: np.random.Generator, mosaic: bool
    ) -> Example:
        settings = self.settings
        if not mosaic or random.random() >= settings.mosaic:
            return scene.single(self.images[place], size, settings, random)
        nine = settings.mosaic9 and random.random() < settings.mosaic9
        others = self._others(place, 8 if nine else 3, random)
        examples = [self.images[i] for i in (place, *others)]
        if nine and sum(len(e.boxes) for e in examples) > self.capacity:
            examples = examples[:4]
        if len(examples) == 9:
            examples = [*examples[1:5], examples[0], *examples[5:]]  # the image itself is central
        mosaic_example = scene.mosaic(examples, size, settings, random)
        main = examples[len(examples) // 2 if len(examples) == 9 else 0]
        return replace(mosaic_example, path=main.path, image_id=main.image_id, size=main.size)

    def _pasted(
        self, example: Example, other: int, size: ImageSize, random: np.random.Generator
    ) -> Example:
        donor = self.images[other]
        if not donor.polygons:
            return example
        donor = scene.single(donor, size, self.settings, random)
        if random.random() < 0.5:
            donor = flip(donor)
        capacity = self.capacity - len(example.boxes)
        return mix.copy_paste(example, donor, self.settings.min_visibility, capacity, random)

    def _others(self, place: int, count: int, random: np.random.Generator) -> list[int]:
        """Sample other positions without repetition; with repetition if there are too few."""
        total = len(self.images)
        if total > WINDOW * STEP:
            chosen = (random.permutation(WINDOW)[:count] + 1) * STEP
            return [(place - int(away)) % total for away in chosen]
        if total <= count:
            return random.integers(0, total, count).tolist()
        return [(place + 1 + int(i)) % total for i in random.permutation(total - 1)[:count]]
