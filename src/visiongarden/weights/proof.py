"""`Proof`: how far the values of source and target differ for the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from visiongarden.terminal import counted, table

COLUMNS = ("level", "value of the source", "shape", "difference", "deviations", "")
"""Columns of the table of a proof."""


@dataclass(frozen=True)
class Compared:
    """A level or output of the target, compared with the same one of the source.

    Attributes:
        name: Name in the target, such as "backbone/p3" or "head/p3/boxes".
        source: Name of the value of the source that is nearest to it, among those of its shape; ""
            without a value of its shape.
        shape: (height, width, channels), or (outputs,).
        difference: Largest absolute difference in all images.
        deviation: Standard deviation of the source's value over all images.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    difference: float
    deviation: float

    @property
    def relative(self) -> float:
        """Return the largest difference in standard deviations; infinity for a constant value."""
        return self.difference / self.deviation if self.deviation > 0 else math.inf


@dataclass(frozen=True)
class Proof:
    """Comparison of the source's network with the target on the same images.

    Attributes:
        levels: Levels of backbone and decoder, and outputs, in order.
        left_out: Parts that are not compared, because not all of their weights were copied.
        images: Number of images.
        tolerance: Largest difference that passes, in standard deviations.
    """

    levels: tuple[Compared, ...]
    left_out: tuple[str, ...]
    images: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Return whether no level differs by more than the tolerance."""
        return all(each.relative <= self.tolerance for each in self.levels)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of a table: level, value of the source, shape, and differences."""
        return [
            (
                each.name,
                each.source or "none of this shape",
                " × ".join(map(str, each.shape)),
                f"{each.difference:.2g}",
                f"{each.relative:.1e}",
                "" if each.relative <= self.tolerance else "differs",
            )
            for each in self.levels
        ]

    def __str__(self) -> str:
        right = COLUMNS[3:5]
        text = [table(COLUMNS, self.rows(), right=right), self.summary()]
        return "\n".join(text)

    def summary(self) -> str:
        """Return the result in one sentence."""
        differing = sum(each.relative > self.tolerance for each in self.levels)
        result = f"{differing} of {len(self.levels)} levels differ" if differing else "proved"
        left = f"; not compared: {', '.join(self.left_out)}" if self.left_out else ""
        images = counted(self.images, "image")
        return f"{result}: {images}, tolerance {self.tolerance:g} deviations{left}"
