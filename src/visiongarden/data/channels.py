"""`Channels`: how image files become arrays, of any number of channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.channel_files import files_of, images
from visiongarden.data.decoding import decode, decode_bytes
from visiongarden.data.layout import RGB, Layout, layout_of
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.data.stored import decode_stored, decode_stored_bytes
from visiongarden.errors import ConfigError, DataError, UserError, nearest, option
from visiongarden.storage.header import MAX_BYTES, format_of
from visiongarden.storage.npy import MAX_CHANNELS
from visiongarden.storage.place import Member, read_bytes
from visiongarden.storage.tiff import tiff_header
from visiongarden.types import ImageSize

MODES = ("auto", "rgb", "gray", "rgba", "stored")
_RGB_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
"""Extensions of the formats that hold nothing but gray, RGB and alpha of 8 or 16 bits."""

_PARTS = "channels=['_w1_', '_w2_']"


@dataclass(frozen=True)
class Channels:
    """Which channels of the image files are read, and in which type.

    - "auto": as "rgb" if RGB can represent the file, else as "stored". NumPy files, and TIFF files
      with 2 or more than 4 channels, with 4 channels of which none is tagged as alpha, with floats
      or signed integers, are read as stored.
    - "rgb": uint8 (height, width, 3). Gray is repeated, a fourth channel is dropped, 16 bits are
      divided by 256.
    - "gray": (height, width, 1), in the type as stored; colors become luma (ITU-R BT.601).
    - "rgba": (height, width, 4), in the type as stored; a missing alpha channel is opaque.
    - "stored": all channels, in the type as stored, see `decode_stored`.
    - A list of parts of file names, one per channel, such as ["_w1_", "_w2_"]: each channel is a
      file of its own. The files of one image have names that are equal apart from this part (and
      from a UUID, which microscopes add).

    Attributes:
        value: one of the words above, or the parts of the file names.

    Raises:
        ConfigError: the word is unknown, or the parts are not different parts of file names.

    Example:
        >>> np.save("five.npy", np.zeros((8, 6, 5), np.uint16))
        >>> channels = vg.data.Channels("auto")
        >>> str(channels.layout("five.npy"))
        '5 channels of uint16'
        >>> channels.decode("five.npy").shape
        (8, 6, 5)
    """

    value: str | Sequence[str] = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.value, str):
            if self.value not in MODES:
                raise ConfigError(
                    f"unknown channels {self.value!r}",
                    rule=f"{', '.join(MODES)}, or a list with a part of the file name per channel",
                    fix=f"{nearest(self.value, MODES)}; {_PARTS}",
                )
            return
        parts = tuple(self.value) if isinstance(self.value, (list, tuple)) else ()
        names = [part for part in parts if isinstance(part, str) and part]
        paths = [part for part in names if "/" in part or "\\" in part]
        if len(set(names)) != len(parts) or paths or not 2 <= len(parts) <= MAX_CHANNELS:
            raise ConfigError(
                f"channels is {self.value!r}",
                rule=f"{', '.join(MODES)}, or a list of 2 to {MAX_CHANNELS} different parts of "
                "file names",
                fix=_PARTS,
            )
        # A tuple can be hashed; frozen dataclasses are set through `object`.
        object.__setattr__(self, "value", parts)

    @classmethod
    def of(cls, value: Channels | str | Sequence[str]) -> Channels:
        """Return the value of a field of a recipe: a word, a list of strings, or `Channels`."""
        return value if isinstance(value, Channels) else cls(value)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the file names, one per channel; empty if a file has all channels."""
        return () if isinstance(self.value, str) else tuple(self.value)

    def images(self, paths: Iterable[Any]) -> list[Any]:
        """Return one path per image: all of them, or those of the first channel.

        Args:
            paths: paths or archive members of all image files.

        Raises:
            DataError: a channel of an image is missing, or has two files.
        """
        return images(paths, self.parts) if self.parts else list(paths)

    def decode(self, path: Any, min_size: ImageSize | None = None) -> np.ndarray:
        """Decode an image to an array (height, width, channels) of uint8, uint16 or float32.

        Args:
            path: A path, an archive member or a record; if each channel is a file, any of them.
            min_size: (height, width) of a canvas that the image must still fill, see `decode`; it
                is used for 8-bit RGB only.

        Raises:
            DataError: The image cannot be decoded, or does not have these channels. The files of
                one image differ in size or type.
        """
        path = Path(path) if isinstance(path, str) else path
        if self.parts:
            return _stacked(files_of(path, self.parts))
        if self.value == "rgb":
            return decode(path, min_size)
        if self.value == "stored":
            return decode_stored(path)
        return self.decode_bytes(read_bytes(path, MAX_BYTES), path, min_size)

    def decode_bytes(self, raw: bytes, path: Any, min_size: ImageSize | None = None) -> np.ndarray:
        """Decode the bytes of an image file, see `decode`; `path` names it in messages.

        If each channel is a file, the files are read.
        """
        if self.parts:
            return _stacked(files_of(path, self.parts))
        is_rgb = self.value == "rgb" or (self.value == "auto" and _is_rgb(raw, path))
        if is_rgb:
            return decode_bytes(raw, path, min_size)
        if self.value in ("auto", "stored"):
            return decode_stored_bytes(raw, path)
        layout = self._converted(layout_of(path, raw), path)
        image = decode_stored_bytes(raw, path)
        if _is_inverted(raw, path):
            image = np.iinfo(image.dtype).max - image if image.dtype.kind == "u" else -image
        return to_gray(image) if layout.channels == 1 else _rgba(image)

    def layout(self, path: Any) -> Layout:
        """Return number of channels and type of a decoded image, from the header of its file.

        Raises:
            DataError: The file is not an image, or does not have these channels.
        """
        path = Path(path) if isinstance(path, str) else path
        if self.value == "rgb":
            return RGB
        if self.parts:
            return Layout(len(self.parts), _single(layout_of(path), path).dtype, False)
        found = layout_of(path)
        if self.value == "auto":
            return RGB if found.is_rgb else found
        return found if self.value == "stored" else self._converted(found, path)

    def _converted(self, stored: Layout, path: Any) -> Layout:
        """Return the layout after conversion to gray or RGBA."""
        is_gray = stored.channels == 1
        if not (stored.is_rgb or (is_gray and self.value == "gray")):
            raise DataError(
                f"{path}: {stored} cannot be converted to {self.value}",
                rule="gray or RGB, with or without an alpha channel that is tagged as one",
                fix=option("channels", "stored"),
            )
        return Layout(1 if self.value == "gray" else 4, stored.dtype)


def _is_rgb(raw: bytes, path: Any) -> bool:
    found = format_of(raw)
    return found != "NPY" and (found != "TIFF" or tiff_header(raw, path).is_rgb)


def _is_inverted(raw: bytes, path: Any) -> bool:
    """Return whether 0 is white and the decoder does not convert it."""
    if format_of(raw) != "TIFF":
        return False
    tags = tiff_header(raw, path)
    return tags.is_inverted and not tags.needs_conversion


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return (height, width, 1) of gray, or the luma (ITU-R BT.601) of RGB; alpha is dropped."""
    if image.shape[2] <= 2:  # gray, or gray and alpha
        return np.ascontiguousarray(image[..., :1])
    return cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)[..., None]


def _rgba(image: np.ndarray) -> np.ndarray:
    colors, count = image, image.shape[2]
    if count == 4:
        return image
    if count <= 2:
        colors = np.repeat(image[..., :1], 3, axis=2)
    opaque = np.full((*image.shape[:2], 1), np.iinfo(image.dtype).max, image.dtype)
    return np.concatenate([colors, image[..., 1:] if count == 2 else opaque], axis=2)


def _single(layout: Layout, path: Any) -> Layout:
    if layout.channels != 1:
        raise DataError(
            f"{path}: the file of a channel has {layout}", rule="one channel", fix=_PARTS
        )
    return layout


def _stacked(files: Sequence[Any]) -> np.ndarray:
    """Decode files of one channel each to one image."""
    first, *others = files
    image = decode_stored(first)
    _single(Layout(image.shape[2], image.dtype.name), first)
    stacked = np.empty((*image.shape[:2], len(files)), image.dtype)
    stacked[..., 0] = image[..., 0]
    for number, file in enumerate(others, start=1):
        other = decode_stored(file)
        if (other.shape, other.dtype) != (image.shape, image.dtype):
            raise DataError(
                f"{file}: the channel is {_described(other)}, but that of {first.name} is "
                f"{_described(image)}",
                rule="channels of one image have the same size and type",
            )
        stacked[..., number] = other[..., 0]
    return stacked


def _described(image: np.ndarray) -> str:
    return f"{image.shape[1]} × {image.shape[0]} {image.dtype}"


def channels_of(paths: Iterable[Any], channels: Channels | str | Sequence[str] = "auto") -> Layout:
    """Return number of channels and type of the images of a dataset, from the headers of its files.

    With "auto", JPEG, PNG, BMP and WebP files are recognized by their extensions and not opened.

    Args:
        paths: location of each image.
        channels: how the files are read.

    Raises:
        DataError: there are no images, one cannot be read, or two have different numbers of
            channels or types.

    Example:
        >>> np.save("a.npy", np.zeros((8, 6, 5), np.uint16))
    """
    channels = Channels.of(channels)
    first: tuple[Any, Layout] | None = None
    for path in paths:
        is_known = channels.value == "rgb" or (
            channels.value == "auto" and Path(str(path)).suffix.lower() in _RGB_ENDINGS
        )
        layout = RGB if is_known else channels.layout(path)
        if first is None:
            first = path, layout
        elif layout != first[1]:
            raise DataError(
                f"{first[0]} has {first[1]}, but {path} has {layout}",
                rule="images of one dataset have the same number of channels and type",
                fix=_fix(first[1], layout),
            )
    if first is None:
        raise DataError("the dataset has no images", rule="at least one image")
    return first[1]


def _fix(one: Layout, other: Layout) -> str:
    if one.is_rgb and other.is_rgb:
        return option("channels", "rgb")
    if (
        one.channels == other.channels
    ):  # in alphabetical order, the type with the larger range first
        return f"write all images in one type: image.astype(np.{min(one.dtype, other.dtype)})"
    return "move the images with other channels to a dataset of their own"


def layout_in(dataset: Any) -> Layout | None:
    """Return number of channels and type of the images of a dataset; None if it has no images.

    Only the headers of files are read that may hold something else than 8-bit RGB. Of images that
    are no files, such as arrays in memory, the first is read.

    Args:
        dataset: dataset of one split.

    Raises:
        DataError: The images have different channels.
    """
    places = [dataset.image_path(i) for i in range(len(dataset))]
    files = [place for place in places if isinstance(place, Path | Member)]
    if files:
        return channels_of(files, dataset.channels)
    image = dataset.load(0).image if len(dataset) else None
    return None if image is None else Layout(image.shape[2], str(image.dtype))


def check_images(dataset: Any, preprocessing: Preprocessing) -> None:
    """Check that a model takes the images of a dataset.

    Args:
        dataset: dataset of one split.
        preprocessing: preprocessing of the model.

    Raises:
        DataError: The images have different channels.
        UserError: The model takes images with another number of channels or another type.
    """
    layout = layout_in(dataset)
    if layout is not None:
        check_layout(layout, preprocessing, f"the images of {dataset.root}")


def check_layout(
    layout: Layout,
    preprocessing: Preprocessing,
    name: str = "the images",
    fix: str | None = None,
) -> None:
    """Check that a model takes images of a layout; see `check_images`.

    Args:
        layout: number of channels and type of the images.
        preprocessing: preprocessing of the model.
        name: name of the images in the message.
        fix: fix of the model, where the files cannot be read in its channels.
    """
    if layout == preprocessing.layout:
        return
    check_channels(preprocessing.channels, layout.channels, name, fix)
    to_rgb = preprocessing.layout == RGB and layout.is_rgb
    other = f'preprocessing=vg.Preprocessing(channels={layout.channels}, dtype="{layout.dtype}")'
    raise UserError(
        f"{name} have {layout}, and the model takes {preprocessing.layout}",
        rule="images of the type that the model takes",
        received=layout.dtype,
        fix=option("channels", "rgb") if to_rgb else fix or other,
    )


def check_channels(
    model_channels: int, data_channels: int, name: str = "the images", fix: str | None = None
) -> None:
    """Check that images have the number of channels that a model takes.

    Args:
        model_channels: number of channels of the model's input.
        data_channels: number of channels of the images.
        name: name of the images in the message.
        fix: fix of the model; by default one in Python.

    Raises:
        UserError: the numbers differ.

    Example:
        >>> vg.data.check_channels(3, 4)
        Traceback (most recent call last):
        visiongarden.errors.UserError: the images have 4 channels, and the model takes 3
          rule: as many channels as the model's input
          received: 4
          fix: choose the channels that the model takes: image[..., [0, 1, 2]]
    """
    if model_channels == data_channels:
        return
    if model_channels == 3 and data_channels == 1:
        way = option("channels", "rgb")
    elif model_channels == 1 and data_channels == 3:
        way = option("channels", "gray")
    elif model_channels < data_channels:
        chosen = list(range(model_channels))
        way = fix or f"choose the channels that the model takes: image[..., {chosen}]"
    else:
        way = fix or f"preprocessing=vg.Preprocessing(channels={data_channels}), of a new model"
    raise UserError(
        f"{name} have {data_channels} channel{'s' if data_channels > 1 else ''}, and the model "
        f"takes {model_channels}",
        rule="as many channels as the model's input",
        received=str(data_channels),
        fix=way,
    )
