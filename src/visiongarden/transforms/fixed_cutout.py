"""`FixedCutout`: a filled square at a random place, as a policy chooses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import PositiveFloat

from visiongarden.samples import Sample
from visiongarden.transforms.photometric import decoded
from visiongarden.transforms.transform import Context, Transform


class FixedCutout(Transform):
    """Fill a square whose center is anywhere in the image (cutout: DeVries and Taylor 2017).

    Boxes and masks stay as they are: a hidden object still extends below the square.

    Attributes:
        side: side of the square, as a fraction of the image's longer side.
    """

    side: PositiveFloat

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the sample with the hidden square."""
        image = decoded(self, sample).copy()
        reach = self.side * max(image.shape[:2]) / 2
        y, x = rng.uniform(0, image.shape[0]), rng.uniform(0, image.shape[1])
        rows = slice(max(round(y - reach), 0), max(round(y + reach), 0))
        columns = slice(max(round(x - reach), 0), max(round(x + reach), 0))
        image[rows, columns] = np.asarray(context.fill, image.dtype)
        return replace(sample, image=image)
