"""Operations of AutoAugment (Cubuk et al. 2018, table 6) and RandAugment on uint8 RGB images.

Each takes an image (height, width, 3) and a strength from -1 to 1; those without a direction use
its absolute value or ignore it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.transforms.photometric import ImageTransform, blended, looked_up, mean_gray
from visiongarden.transforms.photometric import gray_of as luma

Operation = Callable[[np.ndarray, float], np.ndarray]


class ImageOperation(ImageTransform):
    """One of `OPERATIONS` with a fixed strength, as a policy chooses it.

    Attributes:
        name: name of the operation.
        strength: -1 to 1.
        policy: name of the policy, for errors.
    """

    random: ClassVar[bool] = False
    name: str
    strength: float = 0.0
    policy: str

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the changed image."""
        # A pipeline puts the operations in the place of their policy, which the error must name.
        if image.dtype != np.uint8 or image.shape[2] != 3:
            count = image.shape[2]
            raise UserError(
                f"{self.policy} cannot be applied to this image",
                rule="RGB: uint8 with 3 channels",
                received=f"{image.dtype} with {count} channel{'' if count == 1 else 's'}",
                fix=f"remove {self.policy} from the transforms",
            )
        return OPERATIONS[self.name](image, self.strength)


def identity(image: np.ndarray, strength: float) -> np.ndarray:
    """Return the image unchanged."""
    return image


def auto_contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    low, high = image.min(axis=(0, 1)).astype(np.float32), image.max(axis=(0, 1)).astype(np.float32)
    factor = np.where(high > low, 255 / np.maximum(high - low, 1), 1)
    ramp = np.arange(256, dtype=np.float32)[:, None]
    return _through(image, np.where(high > low, (ramp - low) * factor, ramp))


def equalize(image: np.ndarray, strength: float) -> np.ndarray:
    """Equalize the histogram of each channel."""
    return np.asarray(cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(image)]))


def solarize(image: np.ndarray, strength: float) -> np.ndarray:
    """Invert values above a threshold, which falls from 256 to 0 with increasing strength."""
    ramp = np.arange(256)
    return _through(image, np.where(ramp >= 256 * (1 - abs(strength)), 255 - ramp, ramp))


def posterize(image: np.ndarray, strength: float) -> np.ndarray:
    """Keep the highest bits of each value: 8 at strength 0, 4 at strength 1."""
    bits = 8 - round(4 * abs(strength))
    return image & np.uint8(256 - 2 ** (8 - bits))


def color(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the saturation by a factor of up to 1 ± 0.9."""
    gray = luma(image)
    return _enhanced(image, np.asarray(cv2.merge((gray, gray, gray))), strength)


def contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the contrast around the mean gray by a factor of up to 1 ± 0.9."""
    return _enhanced(image, np.full_like(image, round(mean_gray(image))), strength)


def brightness(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the brightness by a factor of up to 1 ± 0.9."""
    return _enhanced(image, np.zeros_like(image), strength)


def sharpness(image: np.ndarray, strength: float) -> np.ndarray:
    """Sharpen or blur the image by a factor of up to 1 ± 0.9."""
    # Pillow's SMOOTH kernel, which AutoAugment's reference implementation blends with.
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    return _enhanced(image, np.asarray(cv2.filter2D(image, -1, kernel)), strength)


OPERATIONS: dict[str, Operation] = {
    "identity": identity,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
    "solarize": solarize,
    "posterize": posterize,
    "color": color,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
}


def _enhanced(image: np.ndarray, base: np.ndarray, strength: float) -> np.ndarray:
    return blended(image, base, 1 + 0.9 * strength)


def _through(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return looked_up(image, np.clip(np.round(table), 0, 255).astype(np.uint8))
