"""`Resize`: stretch an image to the canvas."""

from __future__ import annotations

from visiongarden.registry import register
from visiongarden.transforms.resizing import Resizing
from visiongarden.types import ImageSize


@register
class Resize(Resizing):
    """Stretch an image to the canvas, changing its aspect ratio.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Resize()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.diagonal().tolist()
        [2.0, 4.0, 1.0]
    """

    def ratios(self, size: ImageSize, canvas: ImageSize) -> tuple[float, float]:
        """Return the factors with which both sides are those of the canvas."""
        return canvas[0] / size[0], canvas[1] / size[1]
