"""`CenterCrop`: fill the canvas with the center of an image."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from visiongarden.registry import register
from visiongarden.transforms.resizing import Resizing
from visiongarden.types import ImageSize


@register
class CenterCrop(Resizing):
    """Scale an image to cover the canvas, keeping its aspect ratio, and crop its center.

    Attributes:
        fraction: Side of the crop relative to the scaled image, where they are closest: 0.875 for
            224 pixels of an image whose shorter side was scaled to 256.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [CenterCrop()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.tolist()
        [[4.0, 0.0, -40.0], [0.0, 4.0, 0.0], [0.0, 0.0, 1.0]]
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    def ratios(self, size: ImageSize, canvas: ImageSize) -> tuple[float, float]:
        """Return the factor with which the crop covers the canvas, for both sides."""
        ratio = max(canvas[0] / size[0], canvas[1] / size[1]) / self.fraction
        return ratio, ratio

    def scaled(self, size: ImageSize, canvas: ImageSize) -> ImageSize:
        """Return the (height, width) of the scaled image, at least those of the canvas."""
        rows, columns = super().scaled(size, canvas)
        return max(rows, canvas[0]), max(columns, canvas[1])
