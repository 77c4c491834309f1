"""`SegmentationLoader`: batches of images and semantic masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.data.epoch_loader import EpochLoader
from visiongarden.samples.resizing import letterbox, resize, resize_mask
from visiongarden.transforms import hsv, view, warp_with_mask
from visiongarden.types import IGNORE, ImageSize, MaskBatch, Placement


class SegmentationLoader(EpochLoader):
    """Batches of a `SegmentationDataset`, see `EpochLoader`.

    Without augmentation image and mask are letterboxed, and the border of the mask has the ignored
    id 255. With augmentation both undergo the same geometric transform, and the colors of the image
    vary.
    """

    pixel_bytes = 4

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Return an image, its mask and their original (height, width).

        Both are reduced to at most 1.5 times the size that they have on the canvas.
        """
        image, mask = self.dataset.load(index)
        height, width = mask.shape
        largest = self.sizes[-1]
        ratio = min(1.5 * min(largest[0] / height, largest[1] / width), 1.0)
        sides = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        return resize(image, sides), resize_mask(mask, sides), (height, width)

    def plain(self, index: int) -> tuple[Any, ...]:
        """Return a letterboxed image and mask, the original size and the placement."""
        image, mask, size = self.kept(index)
        canvas, placement = letterbox(image, self.image_size)
        left, top = (round(v) for v in placement.offset)
        rows, columns = (
            round(side * s) for side, s in zip(mask.shape, placement.scale[::-1], strict=True)
        )
        target = np.full(self.image_size, IGNORE, np.uint8)
        target[top : top + rows, left : left + columns] = resize_mask(mask, (rows, columns))
        # Callers map results back to the original image, so both scales are combined into one.
        scale = (columns / size[1], rows / size[0])
        return canvas, target, size, Placement(scale, placement.offset)

    def varied(self, index: int, size: ImageSize, random: np.random.Generator) -> tuple[Any, ...]:
        """Return an augmented image and mask, their size and an identity placement.

        An augmented image has no placement that maps results back to the original image.
        """
        settings = self.augmentation
        image, mask, _ = self.kept(index)
        matrix = view(mask.shape, size, settings, random)
        image, mask = warp_with_mask(image, mask, matrix, size)
        if random.random() < settings.flip:
            image, mask = np.ascontiguousarray(image[:, ::-1]), mask[:, ::-1]
        if random.random() < settings.flip_vertical:
            image, mask = np.ascontiguousarray(image[::-1]), mask[::-1]
        image = hsv(image, settings.hsv, random)
        return image, mask, size, Placement((1, 1), (0, 0))

    def collate(self, rows: Sequence[tuple[Any, ...]]) -> MaskBatch:
        """Stack examples into a `MaskBatch`."""
        images, masks, sizes, places = zip(*rows, strict=True)
        return MaskBatch(
            images=np.stack(images),
            masks=np.stack(masks),
            sizes=np.array(sizes, np.int32),
            scales=np.array([place.scale for place in places], np.float32),
            offsets=np.array([place.offset for place in places], np.float32),
        )
