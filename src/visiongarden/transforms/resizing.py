"""`Resizing`: base class of transforms that bring an image of any size to the canvas."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from visiongarden.config import Concise
from visiongarden.samples import Sample
from visiongarden.samples.resizing import resize
from visiongarden.transforms.pending import checked_fill
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize, Placement

FILL = 114
"""Gray value where there is no image, as of the letterbox of YOLOv5 and its successors."""

PixelValue = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Resizing(Warp, Concise):
    """Base class of transforms that scale and shift an image of any size to the canvas.

    The `resize` of a model is one of them: it brings images to the size of the model's input in
    evaluation, prediction and training, and is stored in model files and exported files. A subclass
    implements `ratios`.

    Attributes:
        fill: Pixel value where there is no image, in the range of the images as stored: one, or one
            per channel. None: 114 for uint8; a model chooses the same gray for other types.

    Example:
        Scale the height alone, and leave the width as it is:

        >>> @vg.register(package="garden")
        ... class FitHeight(vg.transforms.Resizing):
        ...     def ratios(self, size, canvas):
        ...         return canvas[0] / size[0], 1.0
        >>> image, placement = FitHeight(fill=0).place(np.ones((4, 2, 3), np.uint8), (2, 4))
        >>> image[..., 0].tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
        >>> placement
        Placement(scale=(1.0, 0.5), offset=(1.0, 0.0))
    """

    random: ClassVar[bool] = False
    fill: PixelValue | tuple[PixelValue, ...] | None = None

    def ratios(self, size: ImageSize, canvas: ImageSize) -> tuple[float, float]:
        """Return the factors of the height and of the width of an image.

        Args:
            size: (height, width) of the image in pixels.
            canvas: (height, width) of the canvas in pixels.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `ratios`")

    def scaled(self, size: ImageSize, canvas: ImageSize) -> ImageSize:
        """Return the (height, width) of the scaled image, whole pixels."""
        rows, columns = self.ratios(size, canvas)
        return max(round(size[0] * rows), 1), max(round(size[1] * columns), 1)

    def corner(self, scaled: ImageSize, canvas: ImageSize) -> tuple[int, int]:
        """Return row and column of the scaled image's first pixel, by default for its center."""
        # Rounded toward 0, for images that are smaller than the canvas and for larger ones.
        return int((canvas[0] - scaled[0]) / 2), int((canvas[1] - scaled[1]) / 2)

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        size, canvas = size_of(sample), context.size
        rows, columns = self.scaled(size, canvas)
        top, left = self.corner((rows, columns), canvas)
        matrix = [[columns / size[1], 0, left], [0, rows / size[0], top], [0, 0, 1]]
        return np.array(matrix, np.float64), canvas

    def place(self, image: np.ndarray, canvas: ImageSize) -> tuple[np.ndarray, Placement]:
        """Return an image on the canvas, as evaluation and prediction bring it to the model.

        Args:
            image: uint8, uint16 or float32 (height, width, channels).
            canvas: (height, width) of the canvas in pixels.

        Returns:
            The canvas (*canvas, channels), and the placement of the whole image on it.

        Raises:
            UserError: `fill` does not suit the channels or the type of the image.
        """
        height, width = image.shape[:2]
        scaled = self.scaled((height, width), canvas)
        top, left = self.corner(scaled, canvas)
        seen = resize(image, scaled)[max(-top, 0) :, max(-left, 0) :][: canvas[0], : canvas[1]]
        if seen.shape[:2] != tuple(canvas):
            whole = np.full((*canvas, *image.shape[2:]), self.fill_of(image), image.dtype)
            row, column = max(top, 0), max(left, 0)
            shown = seen[: canvas[0] - row, : canvas[1] - column]
            whole[row : row + shown.shape[0], column : column + shown.shape[1]] = shown
            seen = whole
        placement = Placement((scaled[1] / width, scaled[0] / height), (float(left), float(top)))
        return np.ascontiguousarray(seen), placement

    @property
    def values(self) -> tuple[float, ...]:
        """Values of `fill`: one, or one per channel."""
        if self.fill is None:
            return (FILL,)
        return self.fill if isinstance(self.fill, tuple) else (self.fill,)

    def fill_of(self, image: np.ndarray) -> np.ndarray:
        """Return the pixel value for an image, rounded if the image has integers."""
        values = np.array(checked_fill(self.values, image))
        return values if image.dtype.kind == "f" else np.rint(values)
