"""Numbers, polygons and ellipses of annotation files."""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_NUMBER = 1e9
"""Coordinates beyond this are errors; float32 could not represent their pixels."""

MAX_MASK = 2**26
"""Maximum number of pixels of a mask: a few bytes of run lengths fill it."""


def numbers(values: Any, nan: bool = False) -> list[float] | None:
    """Return numbers from a file as floats; None if one is not a number or too large.

    Args:
        values: List of numbers, or of texts of numbers.
        nan: Whether NaN is allowed, which the check of boxes reports.
    """
    found = []
    for value in values:
        if isinstance(value, str) and len(value) < 40:
            try:
                value = float(value)
            except ValueError:
                return None
        if type(value) not in (int, float):
            return None
        if not (abs(value) < MAX_NUMBER or (nan and value != value)):
            return None
        found.append(float(value))
    return found


def ring(points: Any) -> np.ndarray | None:
    """Return a polygon float64 (n, 2) from pairs of numbers; None if it is not valid."""
    if not isinstance(points, list) or len(points) < 3:
        return None
    pairs = [
        numbers(point) if isinstance(point, list) and len(point) == 2 else None for point in points
    ]
    return None if any(pair is None for pair in pairs) else np.array(pairs, np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """Return the polygon of 64 points on an ellipse, float64 (64, 2).

    Args:
        x: Center.
        y: Center.
        rx: Radius along the angle.
        ry: Radius across it.
        angle: In degrees, from the x axis to the y axis, which is clockwise on the screen.
    """
    t = np.arange(64) * (2 * np.pi / 64)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + u * cos - v * sin, y + u * sin + v * cos], axis=1)


def ellipse_box(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> list[float]:
    """Return the xyxy box around an ellipse, whose arguments are those of `ellipse`."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    w, h = float(np.hypot(rx * cos, ry * sin)), float(np.hypot(rx * sin, ry * cos))
    return [x - w, y - h, x + w, y + h]
