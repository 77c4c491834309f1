"""`each_image`: the images that a user gives, in memory or in files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.data.file_names import ENDINGS, image_names, names_in
from visiongarden.data.pixels import ArrayLike
from visiongarden.errors import UserError

_EXAMPLE = '["a.jpg", "b.jpg"]'


def each_image(images: Any, call: str) -> Iterator[Any]:
    """Return an iterator over the images of a single image, a batch or an iterable.

    Args:
        images: An image, a folder, a batch or an iterable; paths, Pillow images or arrays.
        call: The call that takes the images, for messages, such as "predict(model, {})".

    Raises:
        UserError: `images` is not an image, an array or an iterable, or contains no image.
    """
    if isinstance(images, str | Path):
        return iter(_files(Path(images)))
    if isinstance(images, Image.Image):
        return iter([images])
    if isinstance(images, ArrayLike):
        array = images if isinstance(images, np.ndarray) else np.asarray(images)
        # One dimension: an array of paths or of image arrays. Four: a batch.
        images = list(array) if array.ndim in (1, 4) else [array]
    if isinstance(images, bytes | bytearray | dict) or not isinstance(images, Iterable):
        raise UserError(
            f"images is of type {type(images).__name__}",
            rule="an image, an array (n, height, width, channels), or an iterable of images",
            fix=call.format(_EXAMPLE),
        )
    if isinstance(images, Sequence) and not len(images):
        raise UserError("images is empty", rule="at least one image", fix=call.format(_EXAMPLE))
    return itertools.chain.from_iterable(map(_of_item, images))


def _of_item(item: Any) -> list[Any]:
    return _files(Path(item)) if isinstance(item, str | Path) else [item]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [path / name for name in image_names(names_in(path))]
    if not files:
        raise UserError(f"the folder {path} contains no images", rule=", ".join(sorted(ENDINGS)))
    return files
