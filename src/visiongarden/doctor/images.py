"""Decode all images of a dataset once and collect the properties that the checks need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.depth import Depth, depth_of
from visiongarden.data.image_samples import UNKNOWN_SIZE
from visiongarden.data.layout import RGB, Layout
from visiongarden.data.writers.images import image_bytes
from visiongarden.drawing.display import to_display
from visiongarden.errors import DataError
from visiongarden.storage.header import header_of_bytes
from visiongarden.types import ImageSize


@dataclass(frozen=True)
class Look:
    """Properties of one image. Of an unusable one, only the first four and `fix` are set.

    Attributes:
        path: source of the image.
        split: split of the image.
        index: position in the split.
        error: why the image cannot be used; "" if it can.
        content: hash of the file's bytes, equal for identical files.
        hash: perceptual hash of 64 bits (dHash).
        small: uint8 gray thumbnail (16, 16).
        orientation: EXIF orientation, 1 to 8.
        size: (height, width) after the EXIF rotation.
        depth: value range of a 16-bit image, else None.
        layout: number of channels and type of the decoded image.
        fix: what to do about the error; "" if the error names it.
    """

    path: str
    split: str
    index: int
    error: str = ""
    content: bytes = b""
    hash: int = 0
    small: Any = None
    orientation: int = 1
    size: ImageSize = (0, 0)
    depth: Depth | None = None
    layout: Layout = RGB
    fix: str = ""


def look_at(datasets: Mapping[str, Dataset]) -> list[Look]:
    """Decode every image of all splits and return its properties, in order."""
    jobs = [(s, d, i) for s, d in datasets.items() for i in range(len(d))]
    # The images are decoded in parallel; threads of OpenCV inside each would compete with them.
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda job: _look(*job), jobs))


def _look(split: str, dataset: Dataset, index: int) -> Look:
    row = dataset.row(index)
    path = row.path
    orientation, depth = 1, None
    try:
        if row.image is not None:  # pixels in memory, of any type and number of channels
            decoded = np.ascontiguousarray(dataset.load(index).image)
            raw = repr((decoded.shape, decoded.dtype)).encode() + decoded.tobytes()
        else:
            raw = image_bytes(row)
            decoded = dataset.channels.decode_bytes(raw, path)
            orientation, depth = header_of_bytes(raw, path).orientation, depth_of(raw, path)
        image = to_display(decoded)
    except DataError as error:
        return Look(str(path), split, index, error.what, fix=error.fix or "")
    size: ImageSize = (image.shape[0], image.shape[1])
    if row.size not in (UNKNOWN_SIZE, size):
        mismatch = f"{path}: the decoded image has {size[1]} × {size[0]} pixels, unlike its header"
        return Look(str(path), split, index, mismatch)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (16, 16), interpolation=cv2.INTER_AREA)
    content = blake2b(raw, digest_size=16).digest()
    return Look(
        str(path),
        split,
        index,
        content=content,
        hash=_hash(gray),
        small=small,
        orientation=orientation,
        size=size,
        depth=depth,
        layout=Layout(decoded.shape[2], str(decoded.dtype)),
    )


def _hash(gray: np.ndarray) -> int:
    """Return 64 bits: whether each of 8 × 8 cells is darker than its right neighbor (dHash)."""
    tiny = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(tiny[:, :-1] < tiny[:, 1:]).tobytes(), "big")


def same(looks: Sequence[Look]) -> list[tuple[Look, list[Look]]]:
    """Group images by identical bytes: the first of each group, and its copies."""
    groups: dict[bytes, list[Look]] = {}
    for look in looks:
        groups.setdefault(look.content, []).append(look)
    return [(group[0], group[1:]) for group in groups.values() if len(group) > 1]
