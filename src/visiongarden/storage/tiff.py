"""Read the properties of a TIFF image from the tags of its first page (TIFF 6.0 and BigTIFF)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from visiongarden.errors import DataError

MAX_TAGS = 4096
"""Largest number of tags of a page; TIFF 6.0 defines fewer than 100."""

MAX_SEGMENTS = 2**20
"""Largest number of strips or tiles of an image."""

_MAX_PAGES = 1000
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA, _FORMAT = 274, 277, 284, 338, 339
_SEGMENTS = (273, 279, 324, 325)
_TILE_WIDTH = 322
_TAGS = {
    _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _PLANAR,
    _EXTRA, _FORMAT, _TILE_WIDTH,
}  # fmt: skip
_GRAY, _RGB, _PALETTE, _CMYK = (0, 1), 2, 3, 5
_COLOR_SPACES = (6, 8, 9)  # YCbCr, CIE L*a*b*, ICC L*a*b*
_NUMBERS = {
    (1, 8): "uint8", (1, 16): "uint16", (1, 32): "uint32",
    (2, 8): "int8", (2, 16): "int16", (2, 32): "int32",
    (3, 16): "float16", (3, 32): "float32", (3, 64): "float64",
}  # fmt: skip


@dataclass(frozen=True)
class TiffHeader:
    """Properties of the first page of a TIFF file; the numbers are those of TIFF 6.0.

    Attributes:
        height: stored height in pixels, before the rotation by `orientation`.
        width: stored width in pixels.
        channels: values per pixel (SamplesPerPixel).
        bits: bits of each value, or 0 if they differ.
        number_format: 1 unsigned, 2 signed, 3 floating point; 0 if they differ.
        photometric: meaning of the values; None if the tag is missing.
        alpha: whether the last channel is tagged as alpha (ExtraSamples).
        compression: compression scheme.
        orientation: 1 to 8, as in EXIF.
        tile_width: width of a tile in pixels; 0 if the image is stored in strips.
        pages: number of pages of the size of the first; thumbnails, overviews and masks are not
            counted.
    """

    height: int
    width: int
    channels: int
    bits: int
    number_format: int
    photometric: int | None
    alpha: bool
    compression: int
    orientation: int
    tile_width: int
    pages: int

    @property
    def dtype(self) -> str | None:
        """NumPy's name of the stored numbers; None if NumPy has no such type."""
        return _NUMBERS.get((self.number_format, self.bits))

    @property
    def needs_conversion(self) -> bool:
        """Return whether the values are indices, bits or coordinates of a color space."""
        if self.photometric == _CMYK:
            return self.channels == 4 and self.bits == 8
        converted = (_PALETTE, *_COLOR_SPACES)
        return self.photometric in converted or (self.bits < 8 and self.number_format == 1)

    @property
    def is_rgb(self) -> bool:
        """Return whether 8-bit RGB can represent the image, apart from depth and alpha."""
        is_stack = self.pages > 1 and self.channels < 3  # of slices, times or channels
        if is_stack or self.number_format != 1 or not 1 <= self.bits <= 16:
            return False
        if self.photometric is None:
            return self.channels in (1, 3)
        if self.photometric in _GRAY:
            return self.channels == 1 or (self.channels == 2 and self.alpha)
        if self.photometric == _RGB:
            return self.channels == 3 or (self.channels == 4 and self.alpha)
        if self.photometric in _COLOR_SPACES:
            return self.channels == 3
        return self.channels == (4 if self.photometric == _CMYK else 1)

    @property
    def begins_with_rgb(self) -> bool:
        """Return whether red, green and blue are followed by one channel, alpha or not."""
        is_rgb = self.photometric == _RGB and self.channels == 4
        return is_rgb and self.number_format == 1 and self.bits in (8, 16)

    @property
    def is_inverted(self) -> bool:
        """Return whether 0 is white."""
        return self.photometric == 0


def tiff_header(source: Path | bytes, name: object) -> TiffHeader:
    """Read the properties of a TIFF image.

    Args:
        source: path of the file, or all of its bytes.
        name: name of the file in messages.

    Raises:
        DataError: the first page is damaged, or lists more than `MAX_SEGMENTS` strips or tiles.
    """
    stream: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        with stream:
            return _Tags(stream).header()
    except (struct.error, KeyError, IndexError, OverflowError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise DataError(f"{name}: {error.what}", rule=error.rule) from error
        raise DataError(
            f"{name}: the image is damaged", rule="a first page with width, height and data"
        ) from error


class _Tags:
    """Tags of the pages of a TIFF file: tag -> its values, integers only."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        start = stream.read(4)
        self._order = {b"II": "<", b"MM": ">"}[start[:2]]
        self._big = struct.unpack(f"{self._order}H", start[2:])[0] == 43
        self._pages = self._read_pages()

    def header(self) -> TiffHeader:
        first = next(self._pages, {})
        height, width = first[_HEIGHT][0], first[_WIDTH][0]
        channels = first.get(_SAMPLES, (1,))[0]
        if min(height, width, channels) < 1:
            raise ValueError("empty")
        bits = set(first.get(_BITS, (1,))[:channels])
        formats = set(first.get(_FORMAT, (1,))[:channels])
        # 4 is "undefined", which libtiff reads as unsigned.
        number_format = formats.pop() if len(formats) == 1 else 0
        orientation = first.get(_ORIENTATION, (1,))[0]
        return TiffHeader(
            height,
            width,
            channels,
            bits.pop() if len(bits) == 1 else 0,
            1 if number_format == 4 else number_format,
            first[_PHOTOMETRIC][0] if _PHOTOMETRIC in first else None,
            first.get(_EXTRA, (0,))[-1] in (1, 2),
            first.get(_COMPRESSION, (1,))[0],
            orientation if 1 <= orientation <= 8 else 1,
            first.get(_TILE_WIDTH, (0,))[0],
            1 + sum(_is_full(page, height, width) for page in self._pages),
        )

    def _read_pages(self) -> Iterator[dict[int, tuple[int, ...]]]:
        """Yield the tags of each page; a damaged list of later pages ends there."""
        if self._big:
            self._stream.seek(8)
        size, pointer, count, entry = (8, "Q", "Q", 20) if self._big else (4, "I", "H", 12)
        (at,) = self._unpack(pointer, self._stream.read(size))
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MAX_PAGES:
            seen.add(at)
            self._stream.seek(at)
            (tags,) = self._unpack(count, self._stream.read(struct.calcsize(count)))
            if tags > MAX_TAGS:
                raise ValueError("too many tags")
            table = self._stream.read(tags * entry)
            after = self._stream.read(size)
            yield dict(self._values(table[i : i + entry]) for i in range(0, len(table), entry))
            (at,) = self._unpack(pointer, after) if len(after) == size else (0,)

    def _values(self, entry: bytes) -> tuple[int, tuple[int, ...]]:
        width = 8 if self._big else 4
        tag, kind, count = self._unpack("HHQ" if self._big else "HHI", entry[:-width])
        if tag in _SEGMENTS and count > MAX_SEGMENTS:
            raise DataError(
                "the image has too many strips or tiles", rule=f"at most {MAX_SEGMENTS:,}"
            )
        if tag not in _TAGS or kind not in _TYPES:
            return tag, ()
        # Nothing that is used here has more than 16 values; BitsPerSample has one per channel.
        count = min(count, 64)
        size = count * struct.calcsize(_TYPES[kind])
        value = entry[-width:]
        if size > len(value):
            self._stream.seek(self._unpack("Q" if self._big else "I", value)[0])
            value = self._stream.read(size)
        return tag, self._unpack(f"{count}{_TYPES[kind]}", value[:size])

    def _unpack(self, form: str, raw: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + form, raw)


def _is_full(page: dict[int, tuple[int, ...]], height: int, width: int) -> bool:
    # Bits of NewSubfileType: 1 is a reduced image, 4 is a mask.
    reduced = page.get(_SUBFILE, (0,))[:1] not in ((0,), (2,), ())
    return not reduced and (page.get(_HEIGHT), page.get(_WIDTH)) == ((height,), (width,))
