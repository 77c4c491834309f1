"""`SemanticSamples`: images of one split with a semantic mask each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from PIL import Image

from visiongarden.data.image_samples import UNKNOWN_SIZE
from visiongarden.data.in_flight import decoding
from visiongarden.errors import DataError
from visiongarden.samples import ImageInfo, Sample
from visiongarden.storage.damage import refuse_damaged
from visiongarden.storage.header import FORMATS, MAX_BYTES, header_of_bytes
from visiongarden.storage.place import read_bytes
from visiongarden.types import IGNORE, ClassMap, ImageSize

_CHUNK = 2**22

Color = tuple[int, int, int]
MAX_ID = 65_535
"""Largest id of a mask's pixel: PNG has at most 16 bits."""


@dataclass(frozen=True)
class SemanticSamples(Sequence[Sample]):
    """Samples of images with a semantic mask each; `semantic` decodes the mask.

    Attributes:
        class_map: Names of the classes, and the ids that the masks use for them.
        images: Locations of the images, paths or archive members, in a fixed order.
        masks: Location of the mask of each image; a mask of the same size as its image.
        colors: RGB color of each class if the masks are RGB; None if pixels are ids.
        ignored: Ids (or colors) of pixels that are ignored in training and evaluation.
    """

    class_map: ClassMap
    images: tuple[Any, ...]
    masks: tuple[Any, ...]
    colors: tuple[Color, ...] | None = None
    ignored: tuple[int | Color, ...] = (IGNORE,)

    fields = frozenset({"semantic"})

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return Sample(ImageInfo(place, self.images[place], UNKNOWN_SIZE))

    def part(self, indices: Sequence[int]) -> SemanticSamples:
        """Return the samples at `indices`."""
        images, masks = (tuple(files[i] for i in indices) for files in (self.images, self.masks))
        return replace(self, images=images, masks=masks)

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path or an archive member."""
        return self.images[index]

    def semantic(self, index: int, size: ImageSize | None = None) -> np.ndarray:
        """Decode the mask of an image to uint8 (height, width); 255 is ignored.

        Args:
            index: Index of the sample.
            size: (height, width) of the image, if it is known.

        Raises:
            DataError: The file cannot be decoded, its size differs, or it contains a value that is
                not in the class map.
        """
        mask = self.mask(index)
        if size is not None and mask.shape != size:
            raise DataError(
                self.other_size(index, size, mask.shape),
                rule="a mask of the same size as its image",
            )
        return mask

    def other_size(self, index: int, image: Sequence[int], mask: Sequence[int]) -> str:
        """Describe an image and a mask whose (height, width) differ."""
        return (
            f"{self.masks[index]}: {mask[1]} × {mask[0]} pixels, but the image "
            f"{self.images[index].name} has {image[1]} × {image[0]}"
        )

    def mask(self, index: int) -> np.ndarray:
        """Decode a mask to uint8 (height, width): class indices, 255 for ignored pixels.

        Raises:
            DataError: The file cannot be decoded, or contains a value that is not in the class map.
        """
        values = self.values(index)
        classes, unknown = self.classes_of(values)
        if unknown.any():
            strange = np.unique(values[unknown])[:5].tolist()
            raise DataError(
                f"{self.masks[index]}: {int(unknown.sum())} pixels have values that belong to no "
                "class",
                rule=f"{', '.join(self._names)}",
                received=", ".join(map(self.shown, strange)),
                fix="add the class to classes.yaml, or its value to `ignore`",
            )
        return classes

    def values(self, index: int) -> np.ndarray:
        """Decode a mask to int32 (height, width): the stored ids, or colors as 0xRRGGBB.

        Raises:
            DataError: The file cannot be decoded, or is RGB where the classes have ids, or vice
                versa.
        """
        path = self.masks[index]
        pixels = read_pixels(path)
        if self.colors is not None and pixels.ndim == 3:
            return _packed(pixels)
        if pixels.ndim == 3 or self.colors is not None:
            raise DataError(
                f"{path}: the mask stores {'RGB colors' if pixels.ndim == 3 else 'ids'}",
                rule="a color for each class for RGB masks, an id for each class for masks of ids",
                fix="classes: {road: [128, 64, 128]} or classes: {road: 1} in classes.yaml",
            )
        return pixels

    def classes_of(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map values to class indices.

        Args:
            values: int32 (height, width), as returned by `values`.

        Returns:
            uint8 (height, width), class indices with 255 for ignored pixels; and bool (height,
            width), True where the value is not in the class map.
        """
        known, indices = self._table
        classes, unknown = np.empty(values.size, np.uint8), np.empty(values.size, bool)
        flat = values.ravel()
        # Processed in chunks: the indices of `searchsorted` are int64, eight times the mask's
        # memory.
        for start in range(0, values.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            place = np.minimum(np.searchsorted(known, flat[part]), len(known) - 1)
            classes[part], unknown[part] = indices[place], known[place] != flat[part]
        return classes.reshape(values.shape), unknown.reshape(values.shape)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the known pixel values, sorted, and the class index of each."""
        values: list[int] = [_value(c) for c in self.colors or self.class_map.ids]
        pairs = dict.fromkeys((_value(v) for v in self.ignored), IGNORE)
        # Added last: a class whose id is in `ignored` by default (255) remains a class.
        pairs |= {value: index for index, value in enumerate(values)}
        order = sorted(pairs)
        return np.array(order, np.int64), np.array([pairs[v] for v in order], np.uint8)

    @property
    def _names(self) -> list[str]:
        values: Sequence[object] = self.colors or self.class_map.ids
        return [f"{name} {value}" for name, value in zip(self.class_map.names, values, strict=True)]

    def shown(self, value: int) -> str:
        """Format a value of `values` as it is written in the file that names the classes."""
        if self.colors is None:
            return str(value)
        return str((value >> 16, value >> 8 & 255, value & 255))


def read_pixels(path: Any, raw: bytes | None = None) -> np.ndarray:
    """Decode a mask file to ids (height, width), int32, or RGB (height, width, 3), uint8.

    Gray and palette images contain ids. Pillow decodes them because OpenCV converts a palette to
    colors.

    Args:
        path: A path or an archive member.
        raw: All bytes of the file, if they have been read already.

    Raises:
        DataError: The file does not exist, is not an image, is truncated or too large, has an
            unsupported pixel format, or is compressed with loss.
    """
    raw = read_bytes(path, MAX_BYTES) if raw is None else raw
    header = header_of_bytes(raw, path)
    # Lossy compression changes values along every edge, often to ids of other classes, which no
    # later check can detect.
    if is_lossy(raw):
        raise DataError(
            f"{path}: the mask is a JPEG or lossy WebP",
            rule="a lossless format; lossy compression changes the classes along edges",
            fix="export the masks again, as PNG",
        )
    refuse_damaged(raw, path)
    try:
        pixel_count = header.height * header.width
        with decoding(pixel_count), Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # Pillow's plugins raise any type on a malformed file
        raise DataError(f"{path}: the mask cannot be decoded", received=str(error)) from error
    if pixels.shape[:2] not in ((header.height, header.width), header.size):
        raise DataError(f"{path}: the size of the mask differs from its file header")
    if mode == "RGB" and pixels.ndim == 3:
        return pixels
    if mode not in ("1", "L", "P", "I", "I;16") or pixels.ndim != 2:
        raise DataError(
            f"{path}: the mask has mode {mode}", rule="gray, palette or RGB, 8 or 16 bits, no alpha"
        )
    ids = pixels.astype(np.int32)
    if ids.min(initial=0) < 0 or ids.max(initial=0) > MAX_ID:
        raise DataError(f"{path}: the mask has ids outside 0 to {MAX_ID}")
    return ids


def is_lossy(raw: bytes) -> bool:
    """Return whether the bytes are those of a JPEG or a lossy WebP file."""
    return raw.startswith(b"\xff\xd8") or (raw[:4] == b"RIFF" and b"VP8 " in raw[:256])


def _packed(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (red << 16) + (green << 8) + blue


def _value(given: int | Color) -> int:
    if isinstance(given, int):
        return given
    red, green, blue = given
    return (red << 16) + (green << 8) + blue
