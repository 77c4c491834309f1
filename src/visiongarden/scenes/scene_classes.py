"""Classes of the generated scenes: a shape, or a shape in one color and fill."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from itertools import product

import numpy as np

from visiongarden.errors import UserError

SHAPES = ("disc", "ring", "box", "triangle", "star")
HUES = ("red", "amber", "lime", "green", "cyan", "blue", "violet", "magenta")
"""Evenly spaced on the color circle, 45 degrees apart; `HSV` moves hues by up to 5."""

FILLS = ("plain", "striped", "checked")


@dataclass(frozen=True)
class SceneClass:
    """Appearance of the objects of one class.

    Attributes:
        shape: one of `SHAPES`.
        hue: one of `HUES`; None is any color.
        fill: one of `FILLS`.
    """

    shape: str
    hue: str | None = None
    fill: str = "plain"

    @property
    def name(self) -> str:
        """Name of the class, such as "disc", "blue disc" or "striped red star"."""
        words = (self.fill if self.fill != "plain" else None, self.hue, self.shape)
        return " ".join(word for word in words if word)

    def color(self, random: np.random.Generator) -> np.ndarray:
        """Sample a color of the class's hue, RGB from 0 to 255; any color if it has no hue."""
        if self.hue is None:
            return random.uniform(0, 255, 3)
        hue = HUES.index(self.hue) / len(HUES) + random.uniform(-1, 1) / 60
        rgb = colorsys.hsv_to_rgb(hue % 1, random.uniform(0.75, 1), random.uniform(0.6, 0.95))
        return np.array(rgb) * 255

    def darkened(self, shape: tuple[int, int], period: float) -> np.ndarray:
        """Return where the fill is dark: bool (height, width), repeated every `period` pixels."""
        if self.fill == "plain":
            return np.zeros(shape, bool)
        rows, columns = np.mgrid[: shape[0], : shape[1]] // max(period / 2, 1)
        return np.asarray((rows if self.fill == "striped" else rows + columns) % 2 == 1)


PLAIN = tuple(SceneClass(shape) for shape in SHAPES)


def scene_classes(count: int | None = None) -> tuple[SceneClass, ...]:
    """Return the classes of generated scenes.

    Up to five classes are shapes of any color. More are shapes in eight hues, then striped, then
    checked, so that some classes differ in shape alone and some in color or fill alone.

    Args:
        count: number of classes, 1 to 120; None is five.

    Raises:
        UserError: `count` is not within 1 to 120.
    """
    colored = [SceneClass(shape, hue, fill) for fill, hue, shape in product(FILLS, HUES, SHAPES)]
    if count is None:
        return PLAIN
    if not 1 <= count <= len(colored):
        raise UserError(
            "the number of scene classes is out of range",
            rule=f"1 to {len(colored)} classes",
            received=f"classes={count}",
            fix=f"classes={min(max(count, 1), len(colored))}",
        )
    return PLAIN[:count] if count <= len(PLAIN) else tuple(colored[:count])
