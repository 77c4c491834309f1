"""`Letterbox`: fit an image into the canvas."""

from __future__ import annotations

from typing import Literal

from visiongarden.registry import register
from visiongarden.transforms.resizing import Resizing
from visiongarden.types import ImageSize


@register
class Letterbox(Resizing):
    """Scale an image to fit into the canvas, keeping its aspect ratio; the rest is `fill`.

    Sides are rounded to whole pixels, so that pixels are those of evaluation and prediction.

    Attributes:
        align: Where the image is on the canvas: "center", or "top_left" as in YOLOX.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Letterbox()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 20.0], [0.0, 0.0, 1.0]]
    """

    align: Literal["center", "top_left"] = "center"

    def ratios(self, size: ImageSize, canvas: ImageSize) -> tuple[float, float]:
        """Return the factor with which the image just fits, for both sides."""
        ratio = min(canvas[0] / size[0], canvas[1] / size[1])
        return ratio, ratio

    def corner(self, scaled: ImageSize, canvas: ImageSize) -> tuple[int, int]:
        """Return row and column of the scaled image's first pixel."""
        return super().corner(scaled, canvas) if self.align == "center" else (0, 0)
