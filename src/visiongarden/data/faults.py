"""Faults of a data set: collected, so that one report names them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from visiongarden.errors import DataError, UserError
from visiongarden.types import ImageSize

_SHOWN = 10
TOLERANCE = 1.0
"""Pixels by which a box may stand over the image's border; it is cut there."""


class Faults:
    """Collects what is wrong with a data set.

    Args:
        root: of the data set.
        invalid_boxes: "error", or "drop" to leave out boxes that cannot be, and list them.
    """

    def __init__(self, root: Path, invalid_boxes: str = "error") -> None:
        if invalid_boxes not in ("error", "drop"):
            raise UserError(
                f"unknown choice {invalid_boxes!r} for invalid boxes", rule='"error" or "drop"'
            )
        self.root, self.drop = root, invalid_boxes == "drop"
        self.lines: list[str] = []
        self.dropped: list[str] = []
        self._boxes = 0

    def add(self, where: str | Path, what: str) -> None:
        """One fault: file (and line), and what is wrong there."""
        self.lines.append(f"{where}: {what}")

    def box(self, where: str, box: Sequence[float], size: ImageSize) -> list[float] | None:
        """The box cut at the border; None, with a fault, where it cannot be a box."""
        reason = wrong_with(box, size)
        if reason is None:
            height, width = size
            limits = (width, height, width, height)
            return [min(max(v, 0.0), float(most)) for v, most in zip(box, limits, strict=True)]
        (self.dropped if self.drop else self.lines).append(f"{where}: {reason}")
        self._boxes += not self.drop
        return None

    def raise_if_any(self) -> None:
        """Raises one report of all faults."""
        if not self.lines:
            return
        shown = "\n    ".join(self.lines[:_SHOWN])
        # A name from JSON may hold half a character, which no terminal prints.
        shown = shown.encode("utf-8", "backslashreplace").decode()
        rest = len(self.lines) - _SHOWN
        more = f"\n    … and {rest} more" if rest > 0 else ""
        only_boxes = self._boxes == len(self.lines)
        raise DataError(
            f"{self.root} has {len(self.lines)} fault{'s' * (len(self.lines) > 1)}:"
            f"\n    {shown}{more}",
            rule="nothing is dropped in silence: a data set is read whole, or not at all",
            fix='correct the files, or leave these boxes out: invalid_boxes="drop" '
            "(on the command line: --invalid-boxes drop)"
            if only_boxes
            else "correct the files",
        )


def wrong_with(box: Sequence[float], size: ImageSize) -> str | None:
    """Why xyxy pixels can be no box on an image of (height, width); None where they can."""
    text = ", ".join(f"{v:g}" for v in box)
    if not all(map(math.isfinite, box)):
        return f"box ({text}) is not finite"
    x1, y1, x2, y2 = box
    height, width = size
    if min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
        return f"box ({text}) lies outside the image of {width} × {height} pixels"
    if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return f"box ({text}) has no area"
    return None
