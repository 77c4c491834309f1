"""`ImageTransform`: base class of transforms of pixel values, and what they share."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Sample
from visiongarden.transforms.ranges import Ordered
from visiongarden.transforms.transform import Context, Transform

GRAY_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


Limits = Annotated[tuple[float, float], Ordered]


class ImageTransform(Transform):
    """Base class of transforms that change pixel values only; a subclass implements `change`.

    Shape and dtype of the image stay, and so do all annotations.
    """

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the changed image.

        Args:
            image: (height, width, channels) uint8, uint16 or float32; must not be changed.
            rng: random number generator of this transform for this sample.
        """
        raise NotImplementedError

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the sample with the changed image."""
        return replace(sample, image=self.change(decoded(self, sample), rng))


def decoded(transform: Transform, sample: Sample) -> np.ndarray:
    """Return the image of a sample; a UserError that names the transform if it is not decoded."""
    if sample.image is None:
        raise UserError(
            f"{type(transform).__name__} cannot be applied: the image is not decoded",
            rule="an array (height, width, channels)",
            received="image=None",
            fix="dataclasses.replace(sample, image=image)",
        )
    return sample.image


def to_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values in the dtype of an image: integers are rounded and clipped to its range."""
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def value_range(image: np.ndarray) -> tuple[float, float]:
    """Return the range of an image's values: that of an integer dtype, else what is present."""
    if image.dtype.kind == "f":
        return (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
    limits = np.iinfo(image.dtype)
    return float(limits.min), float(limits.max)


def scaled(image: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    """Return image * factor + offset in the dtype of the image."""
    if image.dtype == np.uint8:
        # A look-up takes a tenth of the time of the computation on floats.
        ramp = np.arange(256, dtype=np.float64)
        return looked_up(image, to_dtype(ramp * factor + offset, image.dtype))
    return to_dtype(image.astype(np.float32) * np.float32(factor) + np.float32(offset), image.dtype)


def looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Map a uint8 image through a table: (256,), or (256, channels) for each channel."""
    if table.ndim == 2:
        table = np.ascontiguousarray(table)[None]
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table)).reshape(image.shape)


def mean_gray(image: np.ndarray) -> float:
    """Return the mean gray value: luma of three channels, else the mean of all channels."""
    channels = image.shape[2]
    # Of each channel, because luma is linear; OpenCV's `mean` takes at most four channels.
    if channels <= 4:
        means = np.array(cv2.mean(image)[:channels])
    else:
        means = image.mean(axis=(0, 1), dtype=np.float64)
    weights = GRAY_WEIGHTS if channels == 3 else np.full(channels, 1 / channels)
    return float(np.dot(means, weights))


def gray_of(image: np.ndarray) -> np.ndarray:
    """Return the luma (height, width) of an image of three channels, in its dtype."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))


def blended(image: np.ndarray, base: np.ndarray, factor: float) -> np.ndarray:
    """Return image * factor + base * (1 - factor) in the dtype of the image."""
    if image.dtype == np.uint8:
        return np.asarray(cv2.addWeighted(image, factor, base, 1 - factor, 0)).reshape(image.shape)
    mixed = image.astype(np.float32) * np.float32(factor)
    return to_dtype(mixed + base.astype(np.float32) * np.float32(1 - factor), image.dtype)


def require_three_channels(name: str, image: np.ndarray, fix: str) -> None:
    """Raise a UserError if an image does not have red, green and blue.

    Args:
        name: what cannot be applied, such as "Grayscale".
        image: (height, width, channels).
        fix: what to do instead.
    """
    if image.shape[2] != 3:
        count = image.shape[2]
        raise UserError(
            f"{name} cannot be applied to this image",
            rule="RGB: 3 channels",
            received=f"{count} channel{'' if count == 1 else 's'}",
            fix=fix,
        )
