"""`JPEGCompression`: the artifacts of JPEG files."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform, Ordered

_Quality = Annotated[int, Field(ge=1, le=100)]


@register
class JPEGCompression(ImageTransform):
    """Compress the image as a JPEG file of random quality, and decode it.

    Takes uint8 images with one or three channels.

    Attributes:
        quality: smallest and largest quality, 1 to 100.

    Example:
        >>> image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        >>> worse = vg.transforms.JPEGCompression(quality=(10, 10))
        >>> changed = worse.change(image, np.random.default_rng(0))
        >>> changed.shape, bool((changed == image).all())
        ((16, 16, 3), False)
    """

    quality: Annotated[tuple[_Quality, _Quality], Ordered] = (50, 95)

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the compressed image."""
        if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
            raise UserError(
                "JPEGCompression cannot be applied to this image",
                rule="uint8 with 1 or 3 channels",
                received=f"{image.dtype} with {image.shape[2]} channels",
                fix="remove JPEGCompression from the transforms",
            )
        low, high = self.quality
        quality = int(rng.integers(low, high + 1))
        # OpenCV takes BGR; in another order, the colors would be subsampled in place of the luma.
        bgr = image[..., ::-1] if image.shape[2] == 3 else image
        _, encoded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
        flag = cv2.IMREAD_COLOR if image.shape[2] == 3 else cv2.IMREAD_GRAYSCALE
        decoded = np.asarray(cv2.imdecode(encoded, flag)).reshape(image.shape)
        return np.ascontiguousarray(decoded[..., ::-1]) if image.shape[2] == 3 else decoded
