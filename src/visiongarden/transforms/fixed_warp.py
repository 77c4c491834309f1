"""`FixedWarp`: a rotation, shear and shift about the center, as a policy chooses it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from visiongarden.samples import Sample, matrices
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


class FixedWarp(Warp):
    """Rotate, shear and shift the image by fixed amounts; the canvas keeps its size.

    Attributes:
        degrees: clockwise rotation about the center.
        shear_x: shift of each row, as a fraction of its distance from the center row.
        shear_y: shift of each column, as a fraction of its distance from the center column.
        translate_x: shift to the right, as a fraction of the width.
        translate_y: shift downward, as a fraction of the height.
    """

    random: ClassVar[bool] = False
    degrees: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    translate_x: float = 0.0
    translate_y: float = 0.0

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix and the size of the canvas."""
        height, width = size_of(sample)
        cos, sin = np.cos(np.radians(self.degrees)), np.sin(np.radians(self.degrees))
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        shear = np.array([[1, self.shear_x, 0], [self.shear_y, 1, 0], [0, 0, 1]])
        shift = matrices.shift(self.translate_x * width, self.translate_y * height)
        center = matrices.shift(width / 2, height / 2)
        return shift @ center @ turn @ shear @ np.linalg.inv(center), (height, width)
