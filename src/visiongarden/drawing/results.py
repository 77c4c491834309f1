"""Draw results and ground truth on images."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from visiongarden.drawing.annotations import color_of, draw_instances, grid, label, pen, shade
from visiongarden.drawing.display import canvas
from visiongarden.errors import UserError
from visiongarden.samples import Instances
from visiongarden.types import ClassMap, Ranking, Segments, Values

__all__ = ["color_of", "draw", "draw_lines", "grid"]

_LISTED = 3
"""Number of classes of a `Ranking` that are listed."""


def draw(image: np.ndarray, found: Any, class_map: ClassMap | None = None) -> np.ndarray:
    """Draw a result, or ground truth, on a copy of the image.

    `Instances` are shown as boxes with class and score, masks and keypoints, a `Ranking` as a list
    of the best classes, `Segments` as colors with a legend, `Values` as lines of text. Results of
    other tasks are drawn by `Task.draw`.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        found: `Instances`, a `Ranking`, `Segments` or `Values`, in pixels of the image.
        class_map: names of the classes; by default those of the result. Without names, the class
            indices are drawn.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        UserError: The result is of another type.
    """
    return _draw(found, image, class_map)


@singledispatch
def _draw(found: Any, image: np.ndarray, class_map: ClassMap | None) -> np.ndarray:
    raise UserError(
        f"a {type(found).__name__} cannot be drawn",
        rule="Instances, a Ranking, Segments or Values; other results by the task of their model",
        fix="def draw(self, image, result, class_map=None): ... in the class of the task",
    )


@_draw.register
def _instances(found: Instances, image: np.ndarray, class_map: ClassMap | None) -> np.ndarray:
    return draw_instances(image, found, class_map)


@_draw.register
def _ranking(found: Ranking, image: np.ndarray, class_map: ClassMap | None) -> np.ndarray:
    """List the best classes in the upper left corner."""
    return draw_ranking(image, found, class_map)


def draw_ranking(
    image: np.ndarray, found: Ranking, class_map: ClassMap | None = None, count: int = _LISTED
) -> np.ndarray:
    """List the best classes in the upper left corner of a copy of an image.

    Args:
        image: any image that `to_display` accepts.
        found: classes, best first.
        class_map: names of the classes; by default those of the result.
        count: largest number of classes that are listed.

    Returns:
        uint8 RGB (height, width, 3).
    """
    names = class_map or found.class_map
    pairs = list(zip(found.classes, found.scores, strict=True))[:count]
    lines = [f"{_name(index, names)} {float(score):.2f}" for index, score in pairs]
    return draw_lines(image, lines, [int(index) for index, _ in pairs])


@_draw.register
def _segments(found: Segments, image: np.ndarray, class_map: ClassMap | None) -> np.ndarray:
    """Blend the colors of the classes with the image and draw a legend."""
    picture, names = canvas(image), class_map or found.class_map
    shade(picture, found.classes, {int(i): _name(i, names) for i in np.unique(found.classes)})
    return picture


@_draw.register
def _values(found: Values, image: np.ndarray, class_map: ClassMap | None) -> np.ndarray:
    """List the values in the upper left corner."""
    return draw_lines(image, found.lines, list(range(len(found))))


def draw_lines(image: np.ndarray, lines: list[str], classes: list[int]) -> np.ndarray:
    """Write lines of text in the upper left corner of a copy of an image.

    Args:
        image: any image that `to_display` accepts.
        lines: text.
        classes: class index of each line, which determines its color.

    Returns:
        uint8 RGB (height, width, 3).

    Example:
        >>> picture = vg.drawing.draw_lines(np.zeros((60, 120, 3), np.uint8), ["cat 2"], [0])
        >>> bool(picture.any())
        True
    """
    picture = canvas(image)
    size, y = pen(picture)[1], 0
    for text, index in zip(lines, classes, strict=True):
        y += label(picture, text, (0, y), size, color_of(index), above=False)
    return picture


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))
