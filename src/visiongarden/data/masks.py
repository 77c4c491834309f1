"""`SegmentationDataset`: images of one split, each with a mask of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from visiongarden.data.decode import decode
from visiongarden.data.header import MOST_BYTES, image_size
from visiongarden.errors import DataError
from visiongarden.types import IGNORE, ClassMap

Colour = tuple[int, int, int]
MOST_ID = 65_535
"""Largest id that a mask's pixel can have: PNG has at most 16 bits."""


@dataclass(frozen=True)
class SegmentationDataset:
    """Images and their masks, without the pixels.

    Attributes:
        class_map: names of the classes, and the ids that stand in the masks.
        images: files, in a fixed order.
        masks: the file of each image's mask, of the same size.
        colours: of each class, where masks are RGB; None where pixels are ids.
        ignored: ids (or colours) of pixels that are neither trained on nor judged.
        split: "train", "val" or "test".
        root: where it was read from.
        dropped: what was left out; always empty here.
    """

    class_map: ClassMap
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    colours: tuple[Colour, ...] | None = None
    ignored: tuple[int | Colour, ...] = (IGNORE,)
    split: str = "train"
    root: Path = Path()
    dropped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB (height, width, 3), and uint8 (height, width): classes, 255 where ignored.

        Raises:
            DataError: one of the files cannot be decoded, their sizes differ, or the mask holds
                what is not in the class map.
        """
        image, mask = decode(self.images[index]), self.mask(index)
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"{self.masks[index]}: {mask.shape[1]} × {mask.shape[0]} pixels, while the image "
                f"{self.images[index].name} has {image.shape[1]} × {image.shape[0]}",
                rule="a mask has the size of its image",
            )
        return image, mask

    def mask(self, index: int) -> np.ndarray:
        """uint8 (height, width): index of each pixel's class, 255 where ignored."""
        path = self.masks[index]
        pixels = read_pixels(path)
        if self.colours is not None and pixels.ndim == 3:
            pixels = _packed(pixels)
        elif pixels.ndim == 3 or self.colours is not None:
            raise DataError(
                f"{path}: the mask is {'RGB' if pixels.ndim == 3 else 'of ids'}",
                rule="RGB masks need a colour for each class, masks of ids an id",
                fix="classes: {road: [128, 64, 128]} or classes: {road: 1} in classes.yaml",
            )
        known, indices = self._table
        place = np.minimum(np.searchsorted(known, pixels), len(known) - 1)
        wrong = known[place] != pixels
        if wrong.any():
            strange = np.unique(pixels[wrong])[:5].tolist()
            raise DataError(
                f"{path}: {int(wrong.sum())} pixels are of no class",
                rule=f"{', '.join(self._names)}",
                received=", ".join(map(self._shown, strange)),
                fix="add the class to classes.yaml, or its value to `ignore`",
            )
        return indices[place]

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of pixels, sorted, and the class of each."""
        values: list[int] = [_value(c) for c in self.colours or self.class_map.ids]
        pairs = dict.fromkeys((_value(v) for v in self.ignored), IGNORE)
        pairs |= {value: index for index, value in enumerate(values)}
        order = sorted(pairs)
        return np.array(order, np.int64), np.array([pairs[v] for v in order], np.uint8)

    @property
    def _names(self) -> list[str]:
        values: Sequence[object] = self.colours or self.class_map.ids
        return [f"{name} {value}" for name, value in zip(self.class_map.names, values, strict=True)]

    def _shown(self, value: int) -> str:
        if self.colours is None:
            return str(value)
        return str((value >> 16, value >> 8 & 255, value & 255))


def read_pixels(path: Path) -> np.ndarray:
    """Ids (height, width) of a grey or palette image, or RGB (height, width, 3), as int64 or uint8.

    OpenCV would turn a palette into colours, so Pillow reads.

    Raises:
        DataError: no such file, no image, cut short, too large, or of another kind.
    """
    image_size(path)
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: larger than {MOST_BYTES:,} bytes")
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # Pillow's plugins raise whatever a hostile file makes them raise
        raise DataError(f"{path}: the mask cannot be decoded", received=str(error)) from error
    if mode == "RGB" and pixels.ndim == 3:
        return pixels
    if mode not in ("1", "L", "P", "I", "I;16") or pixels.ndim != 2:
        raise DataError(
            f"{path}: a mask of mode {mode}", rule="grey, palette or RGB, 8 or 16 bits, no alpha"
        )
    ids = pixels.astype(np.int64)
    if ids.min(initial=0) < 0 or ids.max(initial=0) > MOST_ID:
        raise DataError(f"{path}: ids outside 0 to {MOST_ID}")
    return ids


def _packed(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return (red << 16) + (green << 8) + blue


def _value(given: int | Colour) -> int:
    if isinstance(given, int):
        return given
    red, green, blue = given
    return (red << 16) + (green << 8) + blue
