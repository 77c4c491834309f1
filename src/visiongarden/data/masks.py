"""`SegmentationDataset`: images of one split, each with a mask of classes."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.data.decode import decode
from visiongarden.data.in_flight import decoding
from visiongarden.errors import DataError
from visiongarden.storage.header import FORMATS, MOST_BYTES, header_of, refuse_broken_chunks
from visiongarden.storage.place import read_bytes
from visiongarden.types import IGNORE, ClassMap

_AT_ONCE = 2**22

Colour = tuple[int, int, int]
MOST_ID = 65_535
"""Largest id that a mask's pixel can have: PNG has at most 16 bits."""


@dataclass(frozen=True)
class SegmentationDataset:
    """Images and their masks, without the pixels.

    Attributes:
        class_map: names of the classes, and the ids that stand in the masks.
        images: files, also in an archive, in a fixed order.
        masks: the file of each image's mask, of the same size.
        colours: of each class, where masks are RGB; None where pixels are ids.
        ignored: ids (or colours) of pixels that are neither trained on nor judged.
        split: "train", "val" or "test".
        root: where it was read from.
        dropped: what was left out; always empty here.
    """

    class_map: ClassMap
    images: tuple[Any, ...]
    masks: tuple[Any, ...]
    colours: tuple[Colour, ...] | None = None
    ignored: tuple[int | Colour, ...] = (IGNORE,)
    split: str = "train"
    root: Any = Path()
    dropped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def image_path(self, index: int) -> Any:
        """Where an image lies."""
        return self.images[index]

    def part(self, indices: Sequence[int]) -> SegmentationDataset:
        """The data set of some images."""
        images, masks = (tuple(files[i] for i in indices) for files in (self.images, self.masks))
        return replace(self, images=images, masks=masks)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB (height, width, 3), and uint8 (height, width): classes, 255 where ignored.

        Raises:
            DataError: one of the files cannot be decoded, their sizes differ, or the mask holds
                what is not in the class map.
        """
        image, mask = decode(self.images[index]), self.mask(index)
        if image.shape[:2] != mask.shape:
            raise DataError(
                self.other_size(index, image.shape, mask.shape),
                rule="a mask has the size of its image",
            )
        return image, mask

    def other_size(self, index: int, image: Sequence[int], mask: Sequence[int]) -> str:
        """What to say of an image and a mask of other (height, width)."""
        return (
            f"{self.masks[index]}: {mask[1]} × {mask[0]} pixels, while the image "
            f"{self.images[index].name} has {image[1]} × {image[0]}"
        )

    def all_of(self, classes: Collection[int]) -> str:
        """What to say of masks that show no class but this one, or none."""
        names = [self.class_map.names[index] for index in classes]
        return f"all masks together show {f'{names[0]!r} alone' if names else 'no class'}"

    def mask(self, index: int) -> np.ndarray:
        """uint8 (height, width): index of each pixel's class, 255 where ignored."""
        values = self.values(index)
        classes, unknown = self.classes_of(values)
        if unknown.any():
            strange = np.unique(values[unknown])[:5].tolist()
            raise DataError(
                f"{self.masks[index]}: {int(unknown.sum())} pixels are of no class",
                rule=f"{', '.join(self._names)}",
                received=", ".join(map(self.shown, strange)),
                fix="add the class to classes.yaml, or its value to `ignore`",
            )
        return classes

    def values(self, index: int) -> np.ndarray:
        """int32 (height, width): what stands in the mask's file, a colour as one number."""
        path = self.masks[index]
        pixels = read_pixels(path)
        if self.colours is not None and pixels.ndim == 3:
            return _packed(pixels)
        if pixels.ndim == 3 or self.colours is not None:
            raise DataError(
                f"{path}: the mask is {'RGB' if pixels.ndim == 3 else 'of ids'}",
                rule="RGB masks need a colour for each class, masks of ids an id",
                fix="classes: {road: [128, 64, 128]} or classes: {road: 1} in classes.yaml",
            )
        return pixels

    def classes_of(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8: the class of each value, 255 where ignored; and bool: where there is none."""
        known, indices = self._table
        classes, unknown = np.empty(values.size, np.uint8), np.empty(values.size, bool)
        flat = values.ravel()
        # In pieces: places are int64, eight times the memory of the mask.
        for start in range(0, values.size, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            place = np.minimum(np.searchsorted(known, flat[part]), len(known) - 1)
            classes[part], unknown[part] = indices[place], known[place] != flat[part]
        return classes.reshape(values.shape), unknown.reshape(values.shape)

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

    def shown(self, value: int) -> str:
        """A value of `values` as the class map's file would name it."""
        if self.colours is None:
            return str(value)
        return str((value >> 16, value >> 8 & 255, value & 255))


def read_pixels(path: Any) -> np.ndarray:
    """Ids (height, width) of a grey or palette image, or RGB (height, width, 3), as int32 or uint8.

    OpenCV would turn a palette into colours, so Pillow reads.

    Raises:
        DataError: no such file, no image, cut short, too large, of another kind, or of a format
            that does not keep pixels as they were drawn.
    """
    raw = read_bytes(path, MOST_BYTES)
    header = header_of(path, raw)
    refuse_broken_chunks(raw, path)
    if is_lossy(raw):
        raise DataError(
            f"{path}: the mask is a JPEG or lossy WebP",
            rule="a format that keeps every value: such a file has other classes along each edge",
            fix="write the masks as PNG, from where they were drawn",
        )
    try:
        pixel_count = header.height * header.width
        with decoding(pixel_count), Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # Pillow's plugins raise whatever a hostile file makes them raise
        raise DataError(f"{path}: the mask cannot be decoded", received=str(error)) from error
    if pixels.shape[:2] not in ((header.height, header.width), header.size):
        raise DataError(f"{path}: the mask does not have the size that its header says")
    if mode == "RGB" and pixels.ndim == 3:
        return pixels
    if mode not in ("1", "L", "P", "I", "I;16") or pixels.ndim != 2:
        raise DataError(
            f"{path}: a mask of mode {mode}", rule="grey, palette or RGB, 8 or 16 bits, no alpha"
        )
    ids = pixels.astype(np.int32)
    if ids.min(initial=0) < 0 or ids.max(initial=0) > MOST_ID:
        raise DataError(f"{path}: ids outside 0 to {MOST_ID}")
    return ids


def is_lossy(raw: bytes) -> bool:
    """Whether an image file is of a kind whose pixels are not those that were saved."""
    return raw.startswith(b"\xff\xd8") or (raw[:4] == b"RIFF" and b"VP8 " in raw[:256])


def _packed(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (red << 16) + (green << 8) + blue


def _value(given: int | Colour) -> int:
    if isinstance(given, int):
        return given
    red, green, blue = given
    return (red << 16) + (green << 8) + blue
