"""The image that a result belongs to, by which notebooks show the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from visiongarden.data.channels import Channels
from visiongarden.drawing import draw
from visiongarden.errors import DataError


@dataclass(frozen=True)
class ImageOf:
    """Image of a result: the path of its file, or its pixels.

    Pixels are not pickled or copied with the result; a path is.

    Attributes:
        path: path of the file, or None.
        pixels: (height, width, channels), or None.
        size: (height, width) of the image when it was predicted on.
        drawn_by: function that draws a result on the image.
    """

    path: Path | None
    pixels: np.ndarray | None
    size: tuple[int, int]
    drawn_by: Callable[[np.ndarray, Any], np.ndarray] = field(
        default=draw, compare=False, repr=False
    )

    @classmethod
    def given(
        cls,
        image: Any,
        pixels: np.ndarray,
        is_stream: bool = False,
        draw: Callable[[np.ndarray, Any], np.ndarray] = draw,
    ) -> Self:
        """Refer to an image that was given as a path, a Pillow image or an array.

        Args:
            image: the image as it was given.
            pixels: its pixels (height, width, channels).
            is_stream: whether the image is one of a stream, whose pixels are not kept.
            draw: function that draws a result on the image, that of its task.
        """
        size = (pixels.shape[0], pixels.shape[1])
        if isinstance(image, str | Path):
            return cls(Path(image).absolute(), None, size, draw)
        return cls(None, None if is_stream else pixels, size, draw)

    def picture(self, found: Any) -> np.ndarray | None:
        """Draw a result on the image.

        Returns:
            uint8 RGB (height, width, 3); None if the image is not kept, or its file was removed or
            replaced by one of another size.
        """
        pixels = self.pixels
        if self.path is not None:
            try:
                pixels = Channels().decode(self.path)
            except (DataError, OSError):
                return None
        if pixels is None or pixels.shape[:2] != self.size:
            return None
        return self.drawn_by(pixels, found)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "pixels": None, "size": self.size, "drawn_by": self.drawn_by}
