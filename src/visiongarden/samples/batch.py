"""`Batch`: images and targets as a training step receives them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from visiongarden.types import Placement


class BatchInfo(NamedTuple):
    """Origin of the images of a batch, which stays on the host.

    Attributes:
        ids: ids of the images in their dataset (batch,).
        sizes: int32 (batch, 2), (height, width) of the original images.
        scales: float32 (batch, 2), factors of x and y from the original image to the batch.
            Augmented images have no single placement; their factors are 1.
        offsets: float32 (batch, 2), x and y of the original image's upper left corner.
        skipped: one line for each image that could not be decoded, and was replaced by another one.
    """

    ids: np.ndarray
    sizes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    skipped: tuple[str, ...] = ()

    def placement(self, row: int) -> Placement:
        """Return the scale and offset of one image."""
        (sx, sy), (x, y) = self.scales[row].tolist(), self.offsets[row].tolist()
        return Placement((sx, sy), (x, y))


class Batch(NamedTuple):
    """Batch of a loader.

    Attributes:
        images: (batch, height, width, channels), values as stored: uint8, uint16 or float32.
        targets: arrays by name with the first axis `batch`, in pixels of `images`, such as "boxes"
            (batch, m, 4), "classes" (batch, m) with -1 as padding, "labels" (batch, k), "semantic"
            (batch, height, width) with 255 for ignored pixels.
        info: origin of the images.
    """

    images: np.ndarray
    targets: dict[str, np.ndarray]
    info: BatchInfo
