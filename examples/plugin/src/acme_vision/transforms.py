"""Natural vignetting: the fourth power of the cosine (Ray 2002, Applied Photographic Optics)."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
from pydantic import Field

import visiongarden as vg


@vg.register
class Vignette(vg.transforms.Transform):
    """Darken an image toward its corners, as a lens does.

    Attributes:
        angles: Smallest and largest angle at the corners, in degrees from the axis of the lens.
    """

    angles: tuple[Annotated[float, Field(ge=0, lt=90)], Annotated[float, Field(ge=0, lt=90)]] = (
        0.0,
        40.0,
    )

    def apply(self, sample: Any, context: Any, rng: np.random.Generator) -> Any:
        """Return the sample with the darkened image."""
        height, width = sample.image.shape[:2]
        rows = (np.arange(height) + 0.5) / height * 2 - 1
        columns = (np.arange(width) + 0.5) / width * 2 - 1
        tangent = np.tan(np.radians(rng.uniform(*self.angles)))
        # Half the diagonal has the length 1, in whatever proportion the sides are.
        squares = (rows[:, None] ** 2 + columns[None, :] ** 2) / 2 * tangent**2
        factors = (1 / (1 + squares) ** 2).astype(np.float32)[..., None]
        image = sample.image * factors
        if sample.image.dtype.kind != "f":
            image = np.rint(image)
        return dataclasses.replace(sample, image=image.astype(sample.image.dtype))
