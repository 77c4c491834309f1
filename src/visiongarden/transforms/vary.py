"""`Vary`: an image of a data set -> one that training sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from visiongarden.transforms import mix, scene
from visiongarden.transforms.augmentation import Augmentation
from visiongarden.transforms.colour import hsv
from visiongarden.transforms.flip import flip
from visiongarden.types import Example, ImageSize

WINDOW, STEP = 16, 8
"""What goes into one picture lies at most `WINDOW * STEP` places apart in the epoch's order, in
steps of `STEP`: an image that was decoded for its own place serves again, also in each of two, four
or eight processes that take places in turn."""


class Decoded(Protocol):
    """Random access to examples with decoded images, in the order of the epoch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Vary:
    """Carries out an `Augmentation`; the same random numbers give the same image.

    Args:
        images: random access to examples with decoded images, by their place in the epoch.
        settings: how images vary.
        room: most boxes of a finished image. What would not fit is not done (a mosaic of nine
            becomes one of four, no second image is mixed in); a label is never cut off.
    """

    def __init__(self, images: Decoded, settings: Augmentation, room: int) -> None:
        self.images, self.settings, self.room = images, settings, room

    def __call__(
        self, place: int, size: ImageSize, random: np.random.Generator, mosaic: bool = True
    ) -> Example:
        """A finished example.

        Args:
            place: of the image that it is about.
            size: (height, width) of the canvas.
            random: where the numbers come from.
            mosaic: False sees whole images only.
        """
        settings = self.settings
        example = self._scene(place, size, random, mosaic)
        if mosaic and settings.mixup and random.random() < settings.mixup:
            other = self._scene(self._others(place, 1, random)[0], size, random, mosaic)
            if len(example.boxes) + len(other.boxes) <= self.room:
                example = mix.mixup(example, other, random)
        if mosaic and settings.copy_paste and random.random() < settings.copy_paste:
            example = self._pasted(example, self._others(place, 1, random)[0], size, random)
        if random.random() < settings.flip:
            example = flip(example)
        if settings.flip_vertical and random.random() < settings.flip_vertical:
            example = flip(example, vertical=True)
        if settings.cutout and random.random() < settings.cutout:
            example = mix.cutout(example, settings.cutout_most, settings.least_visible, random)
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
        if nine and sum(len(e.boxes) for e in examples) > self.room:
            examples = examples[:4]
        if len(examples) == 9:
            examples = [*examples[1:5], examples[0], *examples[5:]]  # its own image in the middle
        found = scene.mosaic(examples, size, settings, random)
        own = examples[len(examples) // 2 if len(examples) == 9 else 0]
        return replace(found, path=own.path, image_id=own.image_id, size=own.size)

    def _pasted(
        self, example: Example, other: int, size: ImageSize, random: np.random.Generator
    ) -> Example:
        donor = self.images[other]
        if not donor.outlines:
            return example
        donor = scene.single(donor, size, self.settings, random)
        if random.random() < 0.5:
            donor = flip(donor)
        room = self.room - len(example.boxes)
        return mix.copy_paste(example, donor, self.settings.least_visible, room, random)

    def _others(self, place: int, count: int, random: np.random.Generator) -> list[int]:
        """Other places: different ones, while there are enough."""
        total = len(self.images)
        if total > WINDOW * STEP:
            chosen = (random.permutation(WINDOW)[:count] + 1) * STEP
            return [(place - int(away)) % total for away in chosen]
        if total <= count:
            return random.integers(0, total, count).tolist()
        return [(place + 1 + int(i)) % total for i in random.permutation(total - 1)[:count]]
