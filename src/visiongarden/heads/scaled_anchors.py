"""`ScaledAnchors`: base class of heads with the same anchor scales and ratios on each level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from visiongarden.ops import AnchorGrid, shape_overlaps
from visiongarden.parts import Head
from visiongarden.types import ImageSize, stride_of

Sizes = Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=64)]
DeltaWeights = tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat]

_SIZES = tuple(float(f"{2 ** (step / 4):.2g}") for step in range(-16, 25))
"""Values of `anchor_size` that may be proposed."""

_OBJECTS = 1000
"""Maximum number of objects for which anchors are fitted."""


class ScaledAnchors(Head):
    """Base class of heads with anchors of some scales and ratios: Lin et al. 2017, section 4.

    The anchors of a level are `anchor_size` strides times each of the `anchor_scales`, in each of
    the `anchor_ratios`.

    Attributes:
        anchor_size: side of a square anchor in strides.
        anchor_scales: factors of the side.
        anchor_ratios: height divided by width; the area is that of the square.
        anchor_offset: position of an anchor's center in its cell, in strides; 0 in torchvision.
        anchor_rounding: whether sides are rounded to even pixels, as in torchvision.
        delta_weights: factors of dx, dy, dw and dh, which loss and decoding share.
    """

    anchor_size: PositiveFloat = 4.0
    anchor_scales: Sizes = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    anchor_ratios: Sizes = (0.5, 1.0, 2.0)
    anchor_offset: Annotated[float, Field(ge=0, le=1)] = 0.5
    anchor_rounding: bool = False
    delta_weights: DeltaWeights = (1.0, 1.0, 1.0, 1.0)

    @property
    def anchors_per_cell(self) -> int:
        """Number of anchors of a cell."""
        return len(self.anchor_scales) * len(self.anchor_ratios)

    def anchor_shapes(self, level: str) -> np.ndarray:
        """Return (width, height) of each anchor of a level in pixels, float32 (anchors, 2).

        The scales of the first ratio come first.

        Args:
            level: name of the level.
        """
        sides = self.anchor_size * stride_of(level) * np.array(self.anchor_scales)
        if self.anchor_rounding:
            sides = np.floor(sides)
        ratios = np.sqrt(np.array(self.anchor_ratios))[:, None]
        shapes = np.stack([sides / ratios, sides * ratios], axis=-1).reshape(-1, 2)
        return (2 * np.round(shapes / 2) if self.anchor_rounding else shapes).astype(np.float32)

    def fitting_anchors(self, sides: np.ndarray, levels: Sequence[str]) -> dict[str, float]:
        """Return the `anchor_size` whose anchors overlap the objects most.

        The center of an object is a quarter of a stride away from that of an anchor, on average
        along each axis: small anchors of a coarse level miss objects of their size.

        Args:
            sides: width and height of each object in pixels, (n, 2).
            levels: names of the levels.
        """
        some = sides[:: len(sides) // _OBJECTS + 1]

        def mean_overlap(size: float) -> float:
            head = self.replace(anchor_size=size)
            found = [
                shape_overlaps(some, head.anchor_shapes(level), stride_of(level) / 4)
                for level in levels
            ]
            return float(np.concatenate(found, axis=1).max(axis=1).mean())

        return {"anchor_size": max(_SIZES, key=mean_overlap)}

    def grid(self, levels: Iterable[str], image_size: ImageSize) -> AnchorGrid:
        """Return the anchors of all levels in an image of (height, width) pixels."""
        shapes = {level: self.anchor_shapes(level).tolist() for level in levels}
        return AnchorGrid(shapes, image_size)

    def anchor_centers(self, grid: AnchorGrid) -> np.ndarray:
        """Return x and y of the centers of a grid's anchors in pixels, float32 (n, 2)."""
        centers = (grid.cells + self.anchor_offset) * grid.strides[:, None]
        return centers.astype(np.float32)
