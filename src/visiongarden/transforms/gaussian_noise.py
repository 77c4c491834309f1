"""`GaussianNoise`: add noise to each value."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import model_validator

from visiongarden.errors import ConfigError
from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform, Ordered, to_dtype
from visiongarden.transforms.photometric import value_range as range_of
from visiongarden.transforms.transform import Probability


@register
class GaussianNoise(ImageTransform):
    """Add independent Gaussian noise to each value of each channel.

    Takes any dtype and number of channels. Integers are rounded and clipped to the range of the
    dtype, floats are not clipped.

    Attributes:
        std: smallest and largest standard deviation, as fractions of the range of values.
        value_range: smallest and largest value of the images. None: 0 to 255 for uint8, 0 to 65535
            for uint16, and the range of values in each image for float32. State it for 16-bit files
            that use fewer bits, such as (0, 4095).

    Example:
        >>> image = np.full((100, 100, 1), 1000, np.uint16)
        >>> noise = vg.transforms.GaussianNoise(std=(0.01, 0.01), value_range=(0, 4095))
        >>> float(noise.change(image, np.random.default_rng(0)).std().round())
        41.0
    """

    std: Annotated[tuple[Probability, Probability], Ordered] = (0.0, 0.05)
    value_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ConfigError(
                "value_range is empty",
                rule="[minimum, maximum] with minimum < maximum",
                received=str(list(self.value_range)),
                fix="value_range=(0, 4095)",
            )
        return self

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image with noise."""
        low, high = range_of(image) if self.value_range is None else self.value_range
        std = float(rng.uniform(*self.std)) * (high - low)
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= np.float32(std)
        noise += image
        return to_dtype(noise, image.dtype)
